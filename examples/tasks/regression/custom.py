"""A regression of scikit-learn and nothing else: `fit` leaves a pipeline, which is loaded and called as it is."""

from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import ElasticNet
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fit(
    X: pd.DataFrame, y: pd.Series, output_dir: str, parameters: dict[str, Any], row_weights: Any = None, **kwargs: Any
) -> None:
    """Fit a forest or a line. `leaf` is the fewest rows of a leaf, or the smallest share of all rows."""
    if parameters["method"] == "forest":
        model = RandomForestRegressor(
            n_estimators=parameters["trees"], min_samples_leaf=parameters["leaf"], random_state=parameters["seed"]
        )
    else:
        model = ElasticNet(alpha=parameters["alpha"], random_state=parameters["seed"])
    pipeline = make_pipeline(StandardScaler(with_mean=False), model)
    pipeline.fit(X, y, **{f"{pipeline.steps[-1][0]}__sample_weight": row_weights})
    joblib.dump(pipeline, Path(output_dir) / "model.joblib")
