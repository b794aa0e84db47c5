"""Gradient boosting that takes tables as they are: gaps, numbers and categories together."""

from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from pandas.api.types import is_numeric_dtype
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

MOST_CATEGORIES = 200


def fit(
    X: pd.DataFrame, y: pd.Series, output_dir: str, parameters: dict[str, Any], row_weights: Any = None, **kwargs: Any
) -> None:
    """Number the categories, then fit the trees. The columns named in `ignored` are left out."""
    ignored = {name.strip() for name in parameters["ignored"].split(",")}
    numbers = [name for name in X.columns if is_numeric_dtype(X[name]) and name not in ignored]
    texts = [name for name in X.columns if not is_numeric_dtype(X[name]) and name not in ignored]
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=float("nan"),
        encoded_missing_value=float("nan"),
        max_categories=MOST_CATEGORIES,
    )
    columns = make_column_transformer((encoder, texts), ("passthrough", numbers))
    trees = HistGradientBoostingClassifier(
        learning_rate=parameters["learning_rate"],
        max_iter=parameters["rounds"],
        categorical_features=[True] * len(texts) + [False] * len(numbers),
        **_early_stopping(parameters["early_stopping"]),
        l2_regularization=parameters["l2"],
        random_state=parameters["seed"],
    )
    pipeline = make_pipeline(columns, trees)
    pipeline.fit(X, y, histgradientboostingclassifier__sample_weight=row_weights)
    joblib.dump(pipeline, Path(output_dir) / "model.joblib")


def _early_stopping(chosen: str | int) -> dict[str, Any]:
    """Scikit-learn's own arguments: a number is how many rounds without a gain are waited for."""
    if isinstance(chosen, int):
        return {"early_stopping": True, "n_iter_no_change": chosen}
    return {"early_stopping": {"on": True, "off": False}.get(chosen, "auto")}
