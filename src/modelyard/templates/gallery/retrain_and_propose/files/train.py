"""Fits a model for a table: replace ``fit`` with your own."""

import joblib
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

ARTIFACT = "model.joblib"


def fit(table: pd.DataFrame, target: str, target_type: str, holdout: float) -> dict:
    """Trains on a part of ``table``, writes the artifact, and returns how well it does on the rest."""
    rows = table.dropna(subset=[target])
    features = rows.drop(columns=[target])
    is_number = target_type == "Regression"
    stratify = None if is_number else rows[target]
    train_x, test_x, train_y, test_y = train_test_split(
        features, rows[target], test_size=holdout, random_state=0, stratify=stratify
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_include=["object", "string", "category", "bool"])),
        remainder="passthrough",
        force_int_remainder_cols=False,
    )
    estimator = HistGradientBoostingRegressor() if is_number else HistGradientBoostingClassifier()
    model = make_pipeline(columns, estimator).fit(train_x, train_y)
    predicted = model.predict(test_x)
    joblib.dump(model, ARTIFACT)
    if is_number:
        return {"meanAbsoluteError": float(mean_absolute_error(test_y, predicted)), "holdoutRows": len(test_y)}
    return {"accuracy": float(accuracy_score(test_y, predicted)), "holdoutRows": len(test_y)}
