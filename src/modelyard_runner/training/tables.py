"""Tables in a folder: `columns.json` says which columns lie where in `table.bin`, which is mapped, not read.

A frame has the types that `models.frames.frame_of_csv` gives the same rows: int64, float64, bool, and texts with NaN.
The form of the files is described in docs/decisions/0033.
"""

import json
import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.training.plan import PlanError

TYPES = {"int64": "<i8", "float64": "<f8", "bool": "|b1", "text": "<i4"}


class Table:
    """A mapped table. Raises PlanError when its files do not agree."""

    def __init__(self, folder: Path) -> None:
        try:
            content = json.loads((folder / "columns.json").read_text(encoding="utf-8"))
            self.rows = int(content["rows"])
            self._columns: dict[str, dict[str, Any]] = {column["name"]: column for column in content["columns"]}
            self._content = _mapped(folder / "table.bin")
            self._arrays = {name: self._array(column) for name, column in self._columns.items()}
        except KeyError as error:
            raise PlanError(f"{folder / 'columns.json'}: {error} is missing or not known") from error
        except (OSError, TypeError, ValueError, AttributeError) as error:
            raise PlanError(f"the table {folder} cannot be read: {error}") from error
        self._texts: dict[str, Any] = {}

    def _array(self, column: dict[str, Any]) -> Any:
        kind = np.dtype(TYPES[column["kind"]])
        if self.rows == 0:
            return np.empty(0, kind)
        return np.ndarray((self.rows,), kind, buffer=self._content, offset=int(column["offset"]))

    def require(self, names: Sequence[str]) -> None:
        """Raise PlanError for a column that the table does not have."""
        for name in names:
            if name not in self._columns:
                raise PlanError(f"the table has no column {name!r}")

    def kind(self, name: str) -> str:
        """The kind of a column: int64, float64, bool or text."""
        return str(self._columns[name]["kind"])

    def names(self) -> list[str]:
        """The columns in order."""
        return list(self._columns)

    def column(self, name: str, rows: Any) -> Any:
        """The values of a column in some rows (their numbers, or a slice): an array, of texts one of pandas."""
        values = self._arrays[name][rows]
        if self.kind(name) != "text":
            return values
        if name not in self._texts:
            # the missing one is last, where the code -1 finds it
            self._texts[name] = pd.Series([*self._columns[name]["values"], np.nan]).array
        return self._texts[name].take(values)

    def frame(self, names: Sequence[str], rows: Any) -> pd.DataFrame:
        """Some columns of some rows, numbered from 0."""
        columns = {name: self.column(name, rows) for name in names}
        count = len(self._arrays[self.names()[0]][rows]) if not columns else len(next(iter(columns.values())))
        return pd.DataFrame(columns, index=pd.RangeIndex(count))


def _mapped(path: Path) -> Any:
    if path.stat().st_size == 0:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
