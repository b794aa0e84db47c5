"""The `typeSchema` of a task, checked on what it is given and what it returns.

Source: contract/supporting-endpoints.md C.7. Rules of our own, where a type cannot be told from the data: text may be
TXT, CAT, IMG, GEO or COUNT_DICT, and DATE when it looks like dates; a condition that allows is met when the column may
be one of the types, one that forbids is broken by the most likely type when a task is fitted (text of several words
that hardly ever repeats is TXT, other text CAT), and otherwise, when the rows may be few, only when the column can be
nothing else. Numbers are NUM or DATE_DURATION, booleans NUM or CAT. EQUALS and IN ask that every column is of one of
the types, NOT_EQUALS and NOT_IN that none is.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.problems import listing
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.tasks.values import Sparse, Value, column_names

NUMBERS = frozenset({"NUM", "DATE_DURATION"})
TEXTS = frozenset({"TXT", "CAT", "IMG", "GEO", "COUNT_DICT"})
DEFAULT_OUTPUT_TYPES = {"field": "data_types", "condition": "EQUALS", "value": "NUM"}
LOOKED_AT = 50
"""So many values tell what a column of text holds."""
WORDS_OF_TEXT = 3
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ].*)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}( .*)?")

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "NOT_EQUALS": operator.ne,
    "GREATER_THAN": operator.gt,
    "LESS_THAN": operator.lt,
    "NOT_GREATER_THAN": operator.le,
    "NOT_LESS_THAN": operator.ge,
}


class Requirements:
    """The requirements of a task on its input and output; those of the documentation where it names none."""

    def __init__(self, type_schema: Mapping[str, Any]) -> None:
        self._input: list[Mapping[str, Any]] = list(type_schema.get("input_requirements") or ())
        self._output: list[Mapping[str, Any]] = list(type_schema.get("output_requirements") or ())
        if not any(entry.get("field") == "data_types" for entry in self._output):
            self._output.append(DEFAULT_OUTPUT_TYPES)
        self.requires_sparse = any(_is(entry, "sparse", "REQUIRED") for entry in self._input)

    def check_input(self, value: Value, *, is_fit: bool = False) -> None:
        """Raise TaskError with the first requirement that the input does not meet; `is_fit`: it is to be fitted on."""
        for entry in self._input:
            _check(entry, value, "the task was given", {"FORBIDDEN": False, "REQUIRED": True}, is_fit=is_fit)

    def check_output(self, output: Value, given: Value) -> None:
        """Raise TaskError with the first requirement that a transform's output does not meet."""
        kinds = {"NEVER": False, "ALWAYS": True, "IDENTITY": isinstance(given, Sparse)}
        for entry in self._output:
            _check(entry, output, "transform returned", kinds)


def _is(entry: Mapping[str, Any], field: str, value: str) -> bool:
    return entry.get("field") == field and value in _values(entry)


def _values(entry: Mapping[str, Any]) -> list[Any]:
    value = entry.get("value")
    return list(value) if isinstance(value, list | tuple) else [value]


def _check(
    entry: Mapping[str, Any], value: Value, what: str, sparse_kinds: Mapping[str, bool], *, is_fit: bool = False
) -> None:
    field, condition, values = entry.get("field"), str(entry.get("condition") or "EQUALS"), _values(entry)
    documented = f"its typeSchema says {field} {condition} {', '.join(map(str, values))}"
    match field:
        case "data_types":
            name, kind = _wrong_type(value, condition, {str(one) for one in values}, is_fit=is_fit)
            if kind:
                raise TaskError(f"{what} {kind} in the column {name!r}; {documented}")
        case "sparse":
            wanted = sparse_kinds.get(str(values[0]))
            if wanted is not None and wanted is not isinstance(value, Sparse):
                raise TaskError(f"{what} {'dense' if wanted else 'sparse'} data; {documented}")
        case "number_of_columns":
            _check_count(len(column_names(value)), condition, values, what, documented)
        case "contains_missing":
            if values[0] in {"FORBIDDEN", "NEVER"}:
                _check_missing(value, what, documented)
        case _:
            raise TaskError(f"the typeSchema names the unknown field {field!r}")


def _check_count(count: int, condition: str, values: Sequence[Any], what: str, documented: str) -> None:
    wanted = [int(value) for value in values]
    if condition in {"EQUALS", "IN"}:
        is_met = count in wanted
    else:
        is_met = all(_COMPARISONS[condition](count, one) for one in wanted)
    if not is_met:
        raise TaskError(f"{what} {count} columns; {documented}")


def _check_missing(value: Value, what: str, documented: str) -> None:
    if isinstance(value, Sparse):
        has_missing = value.matrix.dtype.kind == "f" and bool(np.isnan(value.matrix.data).any())
        names = "a sparse matrix" if has_missing else ""
    else:
        missing = value.isna().any()
        names = listing([str(name) for name in value.columns[missing.to_numpy()]])
    if names:
        raise TaskError(f"{what} missing values in {names}; {documented}")


def _wrong_type(value: Value, condition: str, types: set[str], *, is_fit: bool) -> tuple[str, str]:
    """The first column whose type is wrong, and what it holds; two empty texts when there is none."""
    if isinstance(value, Sparse):
        columns = [("a sparse matrix", pd.Series(value.matrix.data[:LOOKED_AT]))]
    else:
        columns = [(str(name), column) for name, column in value.items()]
    forbids = condition.startswith("NOT_")
    if "NUM" in types and not forbids:
        columns = [(name, column) for name, column in columns if column.dtype.kind not in "biuf"]
    for name, column in columns:
        likely, possible = types_of(column)
        if not forbids:
            is_wrong = not possible & types
        else:
            is_wrong = likely in types if is_fit else not possible - types - {"DATE_DURATION"}
        if is_wrong:
            return name, {"NUM": "numbers", "DATE": "dates"}.get(likely, "text")
    return "", ""


def types_of(column: "pd.Series[Any]") -> tuple[str, frozenset[str]]:
    """The most likely type of a column and all that it may be."""
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind):
        return "CAT", frozenset({"CAT", "NUM"})
    if pd.api.types.is_numeric_dtype(kind):
        everything = NUMBERS if column.notna().any() else NUMBERS | TEXTS | {"DATE"}
        return "NUM", everything
    if pd.api.types.is_datetime64_any_dtype(kind):
        return "DATE", frozenset({"DATE"})
    if pd.api.types.is_timedelta64_dtype(kind):
        return "DATE_DURATION", frozenset({"DATE_DURATION"})
    values = column.dropna().head(LOOKED_AT).tolist()
    if values and all(isinstance(value, int | float | np.number) for value in values):
        return "NUM", NUMBERS
    texts = [str(value).strip() for value in values]
    if texts and all(_DATE.fullmatch(text) for text in texts):
        return "DATE", TEXTS | {"DATE"}
    words = sum(len(text.split()) for text in texts)
    is_prose = len(set(texts)) > len(texts) / 2 and words >= WORDS_OF_TEXT * len(texts)
    return ("TXT" if texts and is_prose else "CAT"), TEXTS if texts else TEXTS | {"DATE"}
