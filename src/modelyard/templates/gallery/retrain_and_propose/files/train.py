"""Fits a model for a table: replace ``fit`` with your own."""

import joblib
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder


def fit(features: pd.DataFrame, labels: pd.Series, target_type: str, holdout: float, artifact: str) -> dict:
    """Trains on a part of the rows, writes the artifact, and returns how well it does on the rest.

    ``features`` are what the model's own ``transform`` hook makes of a table, as it will be when it predicts.
    """
    is_number = target_type == "Regression"
    train_x, test_x, train_y, test_y = train_test_split(
        features, labels, test_size=holdout, random_state=0, stratify=None if is_number else labels
    )
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    columns = make_column_transformer(
        (encoder, make_column_selector(dtype_include=["object", "string", "category", "bool"])),
        remainder="passthrough",
    )
    estimator = HistGradientBoostingRegressor() if is_number else HistGradientBoostingClassifier()
    model = make_pipeline(columns, estimator).fit(train_x, train_y)
    predicted = model.predict(test_x)
    joblib.dump(model, artifact)
    if is_number:
        return {"meanAbsoluteError": float(mean_absolute_error(test_y, predicted)), "holdoutRows": len(test_y)}
    return {"accuracy": float(accuracy_score(test_y, predicted)), "holdoutRows": len(test_y)}
