"""What a transform made of rows, kept in a folder for another training: sparse and plain numbers are memory-mapped.

The files are of the runner's own form and are read by the image that wrote them.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.tasks.values import Sparse, Value

DESCRIPTION = "value.json"
SMALL_BYTES = 4096
PARTS = ("data", "indices", "indptr")


def save_value(folder: Path, value: Value) -> None:
    """Write a value into a new folder."""
    folder.mkdir(parents=True)
    if isinstance(value, Sparse):
        for part in PARTS:
            np.save(folder / f"{part}.npy", getattr(value.matrix, part))
        form, names, rows = "sparse", value.names, int(value.matrix.shape[0])
    else:
        names, rows = list(value.columns), len(value)
        form = "numbers" if _has_one_kind(value) else "frame"
        if form == "numbers":
            np.save(folder / "numbers.npy", value.to_numpy())
        else:
            value.to_pickle(folder / "frame.pkl")
    (folder / DESCRIPTION).write_text(json.dumps({"form": form, "rows": rows, "columns": names}), encoding="utf-8")


def load_value(folder: Path) -> Value:
    """Read what `save_value` wrote; what a task changes in it does not reach the file."""
    description = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    names = description["columns"]
    if description["form"] == "sparse":
        parts = tuple(_array(folder / f"{part}.npy") for part in PARTS)
        shape = (description["rows"], len(names))
        return Sparse(importlib.import_module("scipy.sparse").csr_matrix(parts, shape=shape), names)
    if description["form"] == "numbers":
        return pd.DataFrame(_array(folder / "numbers.npy"), columns=pd.Index(names), copy=False)
    frame: pd.DataFrame = pd.read_pickle(folder / "frame.pkl")  # noqa: S301  the runner's own
    return frame


def _has_one_kind(frame: pd.DataFrame) -> bool:
    kinds = set(frame.dtypes)
    return len(frame) > 0 and len(kinds) == 1 and isinstance(only := kinds.pop(), np.dtype) and only.kind in "biuf"


def _array(path: Path) -> Any:
    if path.stat().st_size < SMALL_BYTES:  # an empty array cannot be mapped
        return np.load(path)
    return np.asarray(np.load(path, mmap_mode="c"))
