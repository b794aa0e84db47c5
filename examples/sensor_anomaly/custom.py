"""Hook of the anomaly detector for pump readings."""

from typing import Any

import pandas as pd


def score(data: pd.DataFrame, model: Any, **kwargs: Any) -> pd.DataFrame:
    """Return how strange each reading is: about 0.4 is usual, above 0.55 somebody should look at the pump.

    Raises ValueError when a column is missing.
    """
    columns = model.feature_names_in_
    missing = [name for name in columns if name not in data.columns]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    return pd.DataFrame({"Predictions": -model.score_samples(data[columns])}, index=data.index)
