"""A transform that fills gaps: numbers with their middle or mean, texts with a word of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

FILE = "fillings.json"


def fit(X: pd.DataFrame, y: Any, output_dir: str, parameters: dict[str, Any], **kwargs: Any) -> None:
    """Note what each column is filled with, and which columns have gaps."""
    numbers = [name for name in X.columns if is_numeric_dtype(X[name])]
    fillings = {name: _filling(X[name], parameters["strategy"], parameters["constant"]) for name in numbers}
    marked = [name for name in X.columns if parameters["mark"] != "nothing" and X[name].isna().any()]
    content = {"fillings": fillings, "word": parameters["word"], "marked": marked}
    (Path(output_dir) / FILE).write_text(json.dumps(content))


def _filling(column: pd.Series, strategy: str, constant: float) -> float:
    if strategy == "constant" or column.isna().all():
        return float(constant)
    return float(column.median() if strategy == "median" else column.mean())


def load_model(code_dir: str) -> dict[str, Any]:
    """Read the fillings; the folder is the one that `fit` wrote to."""
    return json.loads((Path(code_dir) / FILE).read_text())


def transform(X: pd.DataFrame, transformer: dict[str, Any]) -> pd.DataFrame:
    """Return the columns without gaps, and a column of 0 and 1 for each that had some in training."""
    fillings = transformer["fillings"]
    filled = {
        name: X[name].fillna(fillings.get(name, transformer["word"])) if X[name].isna().any() else X[name]
        for name in X.columns
    }
    marks = {f"{name} is missing": X[name].isna().astype(np.int64) for name in transformer["marked"]}
    return pd.DataFrame(filled | marks)
