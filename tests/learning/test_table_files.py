"""Tables as columns in a file, read again as the runner reads them."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.learning.table_files import TableStore, features, kinds, write_table
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard_runner.models.frames import frame_of_csv
from modelyard_runner.tasks.chain import Feature, schema_of_features, typed


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
    "vast": (pl.Series([1, 2, 2**70], dtype=pl.Int128), "float64", [1.0, 2.0, 2.0**70]),
    "single": (pl.Series([0.1, 0.7, 16777216.0], dtype=pl.Float32), "float64", [0.1, 0.7, 16777216.0]),
    "flag": (pl.Series([True, False, True]), "bool", [True, False, True]),
    "unsure": (pl.Series([True, None, False]), "text", ["True", None, "False"]),
    "text": (pl.Series(["b", "a", "b"]), "text", ["b", "a", "b"]),
    "some": (pl.Series([None, "ö\n", ""]), "text", [None, "ö\n", ""]),
    "nothing": (pl.Series([None, None, None]), "float64", ["nan", "nan", "nan"]),
    "day": (pl.Series([date(2024, 2, 29)] * 3), "text", ["2024-02-29"] * 3),
    "moment": (
        pl.Series([datetime(2024, 2, 29, 12, 30, tzinfo=UTC)] * 3).dt.replace_time_zone(None),
        "text",
        ["2024-02-29 12:30:00"] * 3,
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


def test_texts_in_one_spelling_say_so(tmp_path: Path) -> None:
    write_table(pl.LazyFrame({name: series for name, (series, _, _) in COLUMNS.items()}), tmp_path)
    spellings = {name: found["spelling"] for name, found in features(tmp_path).items() if "spelling" in found}
    assert spellings == {"unsure": "bool", "moment": "datetime"}


@pytest.mark.parametrize("write", [pl.DataFrame.write_csv, lambda table: table.to_pandas().to_csv(index=False)])
def test_a_model_of_parquet_is_asked_with_csv(tmp_path: Path, write: Callable[[pl.DataFrame], str]) -> None:
    """Trained on dates, single precision and booleans of Parquet, it gets the same cells from a CSV of them."""
    table = pl.DataFrame({
        "moment": pl.Series(["2024-02-29T12:30:00", "2024-03-01T00:00:00.25"]).str.to_datetime(),
        "zoned": pl.Series(["2024-02-29T12:30:00+00:00", "2024-03-01T00:00:00+00:00"]).str.to_datetime(),
        "day": pl.Series([date(2024, 2, 29), date(2024, 3, 1)]),
        "single": pl.Series([0.1, 0.7], dtype=pl.Float32),
        "flag": pl.Series([True, False]),
    })  # fmt: skip
    write_table(table.lazy(), tmp_path)
    trained = {name: values for name, (_, values) in read(tmp_path).items()}
    kinds_of = tuple(Feature(name, found["kind"], found.get("spelling")) for name, found in features(tmp_path).items())
    frame = typed(frame_of_csv(write(table).encode(), schema_of_features(kinds_of)), kinds_of)
    assert {name: frame[name].tolist() for name in frame.columns} == trained


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
