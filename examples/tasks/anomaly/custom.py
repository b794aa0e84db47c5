"""Anomaly scores of an isolation forest: the higher, the stranger."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest


def fit(X: pd.DataFrame, output_dir: str, parameters: dict[str, Any], **kwargs: Any) -> None:
    """Fit the forest to the numbers as they are; there is no target."""
    forest = IsolationForest(
        n_estimators=parameters["trees"],
        max_samples=min(1.0, max(2 / len(X), parameters["share_of_rows"])),
        random_state=parameters["seed"],
    )
    joblib.dump(forest.fit(X.to_numpy(dtype=np.float64)), Path(output_dir) / "model.joblib")


def score(data: pd.DataFrame, model: IsolationForest, **kwargs: Any) -> pd.DataFrame:
    """Return one score for each row; scikit-learn's own are lower for stranger rows."""
    return pd.DataFrame({"Predictions": -model.score_samples(data.to_numpy(dtype=np.float64))})
