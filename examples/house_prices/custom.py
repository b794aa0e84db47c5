"""Hook of the house price model. The artifact is found and loaded by itself, since it is the only one."""

from typing import Any

import pandas as pd

CATEGORIES = ["district", "kind", "lift"]


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return the price of each house in euros, rounded to a hundred.

    Raises ValueError when a column is missing.
    """
    columns = model.feature_names_in_
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    known = {name: data[name].astype(object).where(data[name].notna(), "unknown") for name in CATEGORIES}
    prices = model.predict(data[columns].assign(**known))
    return pd.DataFrame({"Predictions": prices.round(-2)}, index=data.index)
