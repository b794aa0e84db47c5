"""Hooks of the churn model: prepare a table of customers and score it."""

from pathlib import Path
from typing import Any

import joblib
import pandas as pd
from packaging.version import InvalidVersion, Version

NUMBERS = [
    "age",
    "household_size",
    "tenure_months",
    "monthly_charge",
    "data_usage_gb",
    "support_calls_90d",
    "late_payments_12m",
    "days_since_login",
    "satisfaction",
]
CATEGORIES = ["region", "plan", "contract", "payment_method", "autopay"]
CURRENT_APP = Version("7.4.0")


def load_model(code_dir: str) -> Any:
    """Load the fitted pipeline that lies beside this file."""
    return joblib.load(Path(code_dir) / "model.joblib")


def transform(data: pd.DataFrame, model: Any) -> pd.DataFrame:
    """Return the model's own columns, typed; the target and any extra column are left out.

    Raises ValueError when a column is missing or holds text where a number belongs.
    """
    missing = [name for name in [*NUMBERS, *CATEGORIES, "app_version"] if name not in data.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    columns: dict[str, pd.Series] = {name: as_numbers(data[name]) for name in NUMBERS}
    columns |= {name: data[name].astype(object).where(data[name].notna(), "unknown") for name in CATEGORIES}
    versions_behind = {text: app_age(text) for text in data["app_version"].unique()}
    columns["app_age"] = data["app_version"].map(versions_behind).astype(float)
    return pd.DataFrame(columns, index=data.index)


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return the probability of each label, one column per label."""
    return pd.DataFrame(model.predict_proba(data), columns=model.classes_, index=data.index)


def as_numbers(column: pd.Series) -> pd.Series:
    """Return a column as floating-point numbers, NaN where a value is missing."""
    try:
        return pd.to_numeric(column).astype(float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {column.name} must hold numbers: {error}") from error


def app_age(text: Any) -> float:
    """Return how far an app version is behind the current one: 1 for a major release, 0.1 for a minor one."""
    try:
        version = Version(str(text))
    except InvalidVersion:
        return float("nan")
    return (CURRENT_APP.major - version.major) + (CURRENT_APP.minor - version.minor) / 10
