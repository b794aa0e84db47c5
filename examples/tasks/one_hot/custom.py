"""A transform that makes numbers of categories: a column of 0 and 1 for each frequent value."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

FILE = "values.json"


def fit(X: pd.DataFrame, y: Any, output_dir: str, parameters: dict[str, Any], **kwargs: Any) -> None:
    """Note the most frequent values of each column of texts; among equally frequent ones the alphabet decides."""
    values = {}
    for name in X.columns:
        if not is_numeric_dtype(X[name]):
            counts = X[name].value_counts().sort_index().sort_values(ascending=False, kind="stable")
            frequent = counts[counts >= parameters["min_rows"]]
            values[name] = [str(value) for value in frequent.index[: parameters["max_values"]]]
    (Path(output_dir) / FILE).write_text(json.dumps(values))


def load_model(code_dir: str) -> dict[str, list[str]]:
    """Read the values of each column."""
    return json.loads((Path(code_dir) / FILE).read_text())


def transform(X: pd.DataFrame, transformer: dict[str, list[str]]) -> pd.DataFrame:
    """Return the numbers as they are, and the texts as columns of 0 and 1; a value never seen is 0 in all of them."""
    columns = {}
    for name in X.columns:
        if name not in transformer:
            columns[name] = X[name].astype(float)
            continue
        for value in transformer[name]:
            columns[f"{name} = {value}"] = (X[name] == value).astype(float)
    return pd.DataFrame(columns, index=X.index)
