"""What is told of columns, whatever their type, and that memory does not grow with the rows."""

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.datasets.profile import Column, describe
from modelyard.datasets.reading import read_table
from modelyard.datasets.unpacking import NotATableError


def profile(values: Any, kind: Any = None) -> Column:
    rows, columns = describe(pl.LazyFrame({"x": pl.Series(values, dtype=kind)}))
    assert rows == len(values)
    return columns[0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**53 + 1, -(2**53) - 1], pl.Int64),
        ([2**63 - 1, -(2**63)], pl.Int64),
        ([2**64 - 1, 2**63 + 1], pl.UInt64),
        ([2**100 + 1, -(2**100)], pl.Int128),
    ],
)
def test_large_integers_are_exact(values: list[int], kind: Any) -> None:
    column = msgspec.json.decode(msgspec.json.encode(profile(values, kind)), type=Column)
    assert (column.min, column.max) == (min(values), max(values))
    assert isinstance(column.min, int)


@pytest.mark.parametrize(
    ("values", "kind", "type_", "extremes"),
    [
        ([1, None, 3], pl.Int8, "Numeric", (1, 3)),
        ([2**63, 1], pl.UInt64, "Numeric", (1, 2.0**63)),
        ([1.5, float("nan"), None], pl.Float64, "Numeric", (1.5, 1.5)),
        ([float("inf"), 1.0], pl.Float64, "Numeric", (1.0, None)),
        ([Decimal("1.5"), None], pl.Decimal(10, 2), "Numeric", (1.5, 1.5)),
        ([timedelta(hours=1), None], pl.Duration, "Numeric", (3600, 3600)),
        ([date(2020, 1, 2), None], pl.Date, "Date", ("2020-01-02", "2020-01-02")),
        ([datetime(2020, 1, 2, tzinfo=UTC)], None, "Date", ("2020-01-02T00:00:00+00:00",) * 2),
        (
            [time(hour, minute) for hour in range(3) for minute in range(60)],
            pl.Time,
            "Categorical",
            ("00:00:00", "02:59:00"),
        ),
        (["2020-01-02", None, "2021-03-04"], pl.String, "Date", (None, None)),
        (["2020-01-02", "2021-13-04"], pl.String, "Categorical", (None, None)),
        ([f"{number} {'word ' * 20}" for number in range(200)], pl.String, "Text", (None, None)),
        (["a", None], pl.Categorical, "Categorical", (None, None)),
        (["a", None], pl.Enum(["a"]), "Categorical", (None, None)),
        ([True, None], pl.Boolean, "Boolean", (None, None)),
        ([None, None], pl.Null, "Categorical", (None, None)),
    ],
)
def test_columns_of_every_type(values: list[Any], kind: Any, type_: str, extremes: tuple[Any, Any]) -> None:
    column = profile(values, kind)
    assert column.type == type_
    assert (column.min, column.max) == extremes
    missing = sum(value is None or value != value for value in values)  # noqa: PLR0124 # NaN
    assert column.missing_count == missing
    distinct = len({value for value in values if value is not None and value == value})  # noqa: PLR0124 # NaN
    assert column.unique_count == pytest.approx(distinct, rel=0.1)
    msgspec.json.encode(column)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**53), 2**53)), min_size=1, max_size=50))
def test_numbers_are_summed_up_as_they_are(values: list[int | None]) -> None:
    column = profile(values, pl.Int64)
    known = [value for value in values if value is not None]
    assert column.missing_count == len(values) - len(known)
    assert (column.min, column.max) == ((min(known), max(known)) if known else (None, None))
    if known:
        rounding = 2**-52 * sum(map(abs, known))  # of floats that are added up, and may cancel each other out
        assert column.mean == pytest.approx(sum(known) / len(known), rel=1e-9, abs=1e-3 + rounding)


def test_a_column_without_a_proper_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a\0b": [1]}).write_parquet(path)
    with pytest.raises(NotATableError, match="NUL"):
        read_table(path, "t.parquet", tmp_path / "out")


PROGRAM = """
import resource, sys
from pathlib import Path
from modelyard.datasets.profile import describe
from modelyard.datasets.reading import read_table
rows, columns = describe(read_table(Path(sys.argv[1]), "t.csv", Path(sys.argv[2])))
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """A file of ten times the size takes less than its own size more."""
    block = "".join(f"{number},{number / 7},city{number % 50},text number {number}\n" for number in range(60_000))
    peaks_mib = []
    for times in (10, 100):
        path = tmp_path / "t.csv"
        with path.open("w") as file:
            file.write("a,b,c,d\n")
            for _ in range(times):
                file.write(block)
        command = [sys.executable, "-c", PROGRAM, str(path), str(tmp_path / "t.parquet")]
        rows, peak_mib = subprocess.check_output(command, text=True).split()
        assert int(rows) == 60_000 * times
        peaks_mib.append(int(peak_mib))
    size_mib = path.stat().st_size / 1024**2
    assert size_mib > 250
    assert peaks_mib[1] - peaks_mib[0] < size_mib, peaks_mib
