"""What goes from task to task: a frame with a row for each row of the table, or a sparse matrix with named columns."""

import importlib
from collections import Counter
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from modelyard_runner.models.model_output import is_reordered
from modelyard_runner.models.predictors import has_sparse_columns, is_sparse
from modelyard_runner.problems import listing
from modelyard_runner.tasks.faults import TaskError

# A frame whose content others may go on using is copied for a task only when it is written to.
_COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


@dataclass(frozen=True, slots=True)
class Sparse:
    """A scipy CSR matrix and the names of its columns."""

    matrix: Any
    names: list[str]


Value: TypeAlias = pd.DataFrame | Sparse


def row_count(value: Value) -> int:
    """The number of rows."""
    return len(value) if isinstance(value, pd.DataFrame) else int(value.matrix.shape[0])


def column_names(value: Value) -> list[str]:
    """The names of the columns."""
    return list(value.columns) if isinstance(value, pd.DataFrame) else value.names


def shape_text(value: Value) -> str:
    """How large a value is, for the log."""
    return f"{row_count(value):,} rows × {len(column_names(value)):,} columns"  # noqa: RUF001  as mathematics writes it


def part(value: Value, start: int, stop: int) -> Value:
    """Some of the rows, numbered from 0; the value itself when those are all."""
    if start == 0 and stop >= row_count(value):
        return value
    if isinstance(value, Sparse):
        return Sparse(value.matrix[start:stop], value.names)
    return value.iloc[start:stop].reset_index(drop=True)


def given(value: Value, *, as_matrix: bool) -> Any:
    """A value as a task gets it, which may write to it.

    Sparse data are a DataFrame of sparse columns; with `as_matrix` (its schema requires sparse input) the CSR matrix.
    """
    if isinstance(value, pd.DataFrame):
        return value.copy(deep=not _COPIES_ON_WRITE)
    if as_matrix:
        return value.matrix.copy()
    sparse_frames: Any = pd.DataFrame.sparse
    made: pd.DataFrame = sparse_frames.from_spmatrix(value.matrix, columns=pd.Index(value.names))
    return made


def taken(result: Any, rows: int, names: list[str] | None = None) -> Value:
    """What a transform returned for `rows` rows, as a value; `names` for columns that have none.

    Raises TaskError for what is not a table, has other rows, or columns of the same name.
    """
    if not isinstance(result, pd.DataFrame | np.ndarray) and not is_sparse(result):
        kind = "None" if result is None else f"a {type(result).__name__}"
        raise TaskError(f"transform returned {kind}; it has to return a DataFrame or a sparse matrix")
    if len(result.shape) != 2:
        raise TaskError(f"transform returned an array of {len(result.shape)} dimensions; it has to be a table")
    if result.shape[0] != rows:
        raise TaskError(f"transform returned {result.shape[0]:,} rows for {rows:,} rows of input")
    if result.shape[1] == 0:
        raise TaskError("transform returned no columns")
    if isinstance(result, pd.DataFrame):
        return _of_frame(result)
    if names is None or len(names) != result.shape[1]:
        names = [str(place) for place in range(result.shape[1])]
    if is_sparse(result):
        return Sparse(importlib.import_module("scipy.sparse").csr_matrix(result), names)
    return pd.DataFrame(result, columns=names).infer_objects()


def _of_frame(frame: Any) -> Value:
    names = [str(name) for name in frame.columns]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise TaskError(f"transform returned several columns of the name {listing(twice)}")
    if is_reordered(frame.index):
        raise TaskError("transform returned the rows in another order than it was given them")
    if has_sparse_columns(frame):
        try:
            return Sparse(frame.sparse.to_coo().tocsr(), names)
        except ValueError as error:
            raise TaskError(f"transform returned sparse columns whose empty cells are not 0: {error}") from error
    frame = frame.copy(deep=False)
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        if isinstance(kind, pd.SparseDtype):
            frame[name] = frame[name].sparse.to_dense()
    frame.columns = pd.Index(names)
    frame.index = pd.RangeIndex(len(frame))
    checked: pd.DataFrame = frame
    return checked
