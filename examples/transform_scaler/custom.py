"""Hook of a model that predicts nothing: it returns its input, filled and scaled."""

from typing import Any

import pandas as pd


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return the scaled columns, gaps filled; other columns are left out.

    Raises ValueError when a column is missing.
    """
    columns = model.feature_names_in_
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    scaled = [f"{name}_scaled" for name in columns]
    return pd.DataFrame(model.transform(data[columns]), columns=scaled, index=data.index)
