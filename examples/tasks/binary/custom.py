"""A binary classification of scikit-learn with a `score` hook of its own."""

from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def fit(
    X: pd.DataFrame,
    y: pd.Series,
    output_dir: str,
    class_order: list[Any],
    parameters: dict[str, Any],
    row_weights: Any = None,
    **kwargs: Any,
) -> None:
    """Fit a logistic regression of whether the target is the positive class, which is the last of the two."""
    model = LogisticRegression(
        C=parameters["c"],
        class_weight=None if parameters["balance"] == "off" else "balanced",
        max_iter=parameters["max_iterations"],
        random_state=parameters["seed"],
    )
    pipeline = make_pipeline(StandardScaler(with_mean=False), model)
    pipeline.fit(X, y == class_order[1], logisticregression__sample_weight=row_weights)
    joblib.dump(pipeline, Path(output_dir) / "model.joblib")


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return the probabilities of both classes, by their names."""
    chance = model.predict_proba(data)[:, 1]
    return pd.DataFrame({kwargs["positive_class_label"]: chance, kwargs["negative_class_label"]: 1 - chance})
