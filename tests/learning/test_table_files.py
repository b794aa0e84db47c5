"""Tables as columns in a file, read again as the runner reads them."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.learning.table_files import TableStore, kinds, write_table
from modelyard.storage.blobs import BlobStore, store_bytes


def read(folder: Path) -> dict[str, tuple[str, list[Any]]]:
    """Each column's kind and values, by what the format says and nothing of ours."""
    about = json.loads((folder / "columns.json").read_text())
    data = (folder / "table.bin").read_bytes()
    types = {"float64": "<f8", "int64": "<i8", "bool": "?", "text": "<i4"}
    found = {}
    for column in about["columns"]:
        assert column["offset"] % 64 == 0
        values = np.frombuffer(data, types[column["kind"]], about["rows"], column["offset"]).tolist()
        if column["kind"] == "text":
            values = [None if code < 0 else column["values"][code] for code in values]
        found[column["name"]] = (column["kind"], values)
    return found


COLUMNS: dict[str, tuple[pl.Series, str, list[Any]]] = {
    "whole": (pl.Series([1, 2, -3]), "int64", [1, 2, -3]),
    "small": (pl.Series([1, 2, 3], dtype=pl.UInt8), "int64", [1, 2, 3]),
    "gaps": (pl.Series([1, None, 3]), "float64", [1.0, "nan", 3.0]),
    "real": (pl.Series([0.5, float("nan"), None]), "float64", [0.5, "nan", "nan"]),
    "huge": (pl.Series([1, 2, 2**63], dtype=pl.UInt64), "float64", [1.0, 2.0, 2.0**63]),
    "flag": (pl.Series([True, False, True]), "bool", [True, False, True]),
    "unsure": (pl.Series([True, None, False]), "text", ["True", None, "False"]),
    "text": (pl.Series(["b", "a", "b"]), "text", ["b", "a", "b"]),
    "some": (pl.Series([None, "ö\n", ""]), "text", [None, "ö\n", ""]),
    "nothing": (pl.Series([None, None, None]), "float64", ["nan", "nan", "nan"]),
    "day": (pl.Series([date(2024, 2, 29)] * 3), "text", ["2024-02-29"] * 3),
    "moment": (
        pl.Series([datetime(2024, 2, 29, 12, 30, tzinfo=UTC)] * 3).dt.replace_time_zone(None),
        "text",
        ["2024-02-29 12:30:00.000000"] * 3,
    ),
    "kind": (pl.Series(["x", "y", "x"], dtype=pl.Categorical), "text", ["x", "y", "x"]),
}


def test_every_type_becomes_what_a_csv_would_give(tmp_path: Path) -> None:
    write_table(pl.LazyFrame({name: series for name, (series, _, _) in COLUMNS.items()}), tmp_path)
    found = read(tmp_path)
    assert list(found) == list(COLUMNS)
    for name, (_, kind, values) in COLUMNS.items():
        got = ["nan" if isinstance(one, float) and one != one else one for one in found[name][1]]  # noqa: PLR0124 # NaN
        assert (found[name][0], got) == (kind, values), name
    assert kinds(tmp_path) == {name: kind for name, (_, kind, _) in COLUMNS.items()}


def test_many_columns_and_slices(tmp_path: Path) -> None:
    table = pl.DataFrame({f"c{number}": range(number, number + 10) for number in range(70)}).slice(3, 5)
    write_table(table.lazy(), tmp_path)
    found = read(tmp_path)
    assert all(found[f"c{number}"][1] == list(range(number + 3, number + 8)) for number in range(70))


@pytest.fixture
def blobs(an_installation: Callable[..., Any]) -> BlobStore:
    store: BlobStore = an_installation().application.parts.get(BlobStore)
    return store


@pytest.fixture
def parquet(tmp_path: Path) -> bytes:
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "table.parquet")
    return (tmp_path / "table.parquet").read_bytes()


def test_a_table_is_written_once_and_can_be_made_again(tmp_path: Path, blobs: BlobStore, parquet: bytes) -> None:
    store = TableStore(tmp_path / "tables", blobs)
    digest = store_bytes(blobs, parquet).digest
    folder = store.path(digest)
    assert read(folder) == {"a": ("int64", [1, 2])}
    before = (folder / "table.bin").stat().st_ino
    assert (store.path(digest) / "table.bin").stat().st_ino == before
    future = datetime(2100, 1, 1, tzinfo=UTC)
    assert store.collect({str(folder)}, future) == 0
    assert store.collect(set(), future) == 1
    assert read(store.path(digest)) == {"a": ("int64", [1, 2])}
    assert [one.name for one in (tmp_path / "tables").iterdir()] == [digest]
