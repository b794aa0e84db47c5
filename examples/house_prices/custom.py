"""Hook of the house price model. The artifact is found and loaded by itself, since it is the only one."""

from typing import Any

import pandas as pd


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return the price of each house in euros, rounded to a hundred.

    Raises ValueError when a column is missing.
    """
    columns = model.feature_names_in_
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    prices = model.predict(data[columns])
    return pd.DataFrame({"Predictions": prices.round(-2)}, index=data.index)
