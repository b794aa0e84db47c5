"""Tables as plain columns in one file that workloads map into memory: no copy for each of them, no parsing.

A folder of two files. ``columns.json`` says where in ``table.bin`` each column begins and how its values are written;
see docs/decisions/0034-projects.md. Cells are those that a CSV file of the same rows would bring to a model
(docs/cells.md), since that is what later predictions come as.
"""

import json
import shutil
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import polars as pl

from modelyard.datasets.cells import spelled
from modelyard.datasets.reading import texts_of_csv
from modelyard.datasets.unpacking import local_file, plain_file
from modelyard.storage.blobs import BlobStore
from modelyard.storage.folders import drop_unused, made_once

ALIGNMENT = 64
CELLS_AT_ONCE = 8_000_000
COLUMNS_FILE = "columns.json"
TABLE_FILE = "table.bin"
EXACT = frozenset({pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32})
"""Integers that are int64; larger ones are floats."""


@dataclass(frozen=True)
class SourceFile:
    """The blob of an upload that a table was read from, its name, and how large it may be unpacked."""

    digest: str
    name: str
    max_bytes: int


class TableStore:
    """Folders named by the digest of the table they hold; derived, so each can be made again."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs

    def path(self, digest: str) -> Path:
        """The folder of the table in this Parquet blob; written, whole or not at all, when it is not there yet."""

        def write(staging: Path) -> None:
            with local_file(self._blobs, digest, staging) as path:
                write_table(pl.scan_parquet(path), staging)

        return made_once(self._root, digest, write)

    def path_with_texts(self, digest: str, file: SourceFile, columns: list[str]) -> Path:
        """As ``path``, of a table whose ``columns`` are texts, as they are written in the CSV that it was read from."""

        def write(staging: Path) -> None:
            source = staging / "source"
            source.mkdir()
            with local_file(self._blobs, digest, source) as path, local_file(self._blobs, file.digest, source) as whole:
                texts = texts_of_csv(*plain_file(whole, file.name, source, file.max_bytes), source, columns)
                table = pl.scan_parquet(path)
                write_table(table if texts is None else table.with_columns(texts.get_columns()), staging)
            shutil.rmtree(source)

        name = sha256(json.dumps([digest, file.digest, columns]).encode()).hexdigest()
        return made_once(self._root, name, write)

    def collect(self, in_use: set[str], older_than: datetime) -> int:
        """Removes folders that no workload has mounted and nobody asked for since ``older_than``."""
        return drop_unused(self._root, {Path(one) for one in in_use}, older_than.timestamp())


def write_table(table: pl.LazyFrame, folder: Path) -> None:
    """Writes the rows of ``table``, as many columns at a time as fit into a bounded memory."""
    names = table.collect_schema().names()
    described: list[dict[str, Any]] = []
    rows = int(table.select(pl.len()).collect(engine="streaming").item())
    at_once = max(1, CELLS_AT_ONCE // max(1, rows))
    with (folder / TABLE_FILE).open("wb") as file:
        for start in range(0, len(names), at_once):
            some = table.select(names[start : start + at_once]).collect()
            described += [_write_column(column, file) for column in some.iter_columns()]
    (folder / COLUMNS_FILE).write_text(json.dumps({"rows": rows, "columns": described}), encoding="utf-8")
    for path in (folder / TABLE_FILE, folder / COLUMNS_FILE):
        path.chmod(0o644)


def kinds(folder: Path) -> dict[str, str]:
    """The kind of each column: ``float64``, ``int64``, ``bool`` or ``text``."""
    return {column["name"]: column["kind"] for column in _described(folder)}


def features(folder: Path) -> dict[str, dict[str, str]]:
    """The ``kind`` of each column, and the ``spelling`` of texts that are written in one: ``datetime`` or ``bool``."""
    return {
        column["name"]: {name: column[name] for name in ("kind", "spelling") if name in column}
        for column in _described(folder)
    }


def _described(folder: Path) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = json.loads((folder / COLUMNS_FILE).read_text(encoding="utf-8"))["columns"]
    return columns


def read_column(blobs: BlobStore, staging: Path, digest: str, name: str) -> pl.Series:
    """One column of the table in a Parquet blob; ``staging`` takes a copy meanwhile where blobs are remote."""
    staging.mkdir(parents=True, exist_ok=True)
    with local_file(blobs, digest, staging) as path:
        return pl.scan_parquet(path).select(name).collect().to_series()


def _write_column(column: pl.Series, file: IO[bytes]) -> dict[str, Any]:
    file.write(bytes(-file.tell() % ALIGNMENT))
    about: dict[str, Any] = {"name": column.name, "offset": file.tell()}
    plain = plain_column(column)
    if plain.dtype != pl.String:
        about["kind"] = "bool" if plain.dtype == pl.Boolean else str(plain.dtype).lower()
        file.write(bytes_of(plain.cast(pl.UInt8) if plain.dtype == pl.Boolean else plain))
        return about
    values = plain.drop_nulls().unique(maintain_order=True)
    codes = pl.DataFrame({"value": plain}).join(
        pl.DataFrame({"value": values}).with_row_index("code"), on="value", how="left", maintain_order="left"
    )["code"]
    file.write(bytes_of(codes.cast(pl.Int32).fill_null(-1)))
    about |= {"kind": "text", "values": values.to_list()}
    if column.dtype in (pl.Datetime, pl.Time):
        about["spelling"] = "datetime"
    elif column.dtype == pl.Boolean:
        about["spelling"] = "bool"
    return about


def plain_column(column: pl.Series) -> pl.Series:
    """The column as a model gets it: float64, int64, bool without gaps, else text."""
    kind = column.dtype
    if kind == pl.Null:
        return pl.repeat(None, len(column), dtype=pl.Float64, eager=True).fill_null(float("nan"))
    if kind == pl.Boolean:
        if not column.null_count():
            return column
        return pl.select(pl.when(column).then(pl.lit("True")).when(~column).then(pl.lit("False"))).to_series()
    if kind in EXACT and not column.null_count():
        return column.cast(pl.Int64)
    if kind.is_numeric():
        return spelled(column).cast(pl.Float64).fill_null(float("nan"))
    if kind == pl.Duration:
        return (column.dt.total_microseconds() / 1e6).cast(pl.Float64).fill_null(float("nan"))
    return spelled(column).cast(pl.String)


def bytes_of(column: pl.Series) -> memoryview:
    """The values one after another, without copying them."""
    values = column.rechunk().to_arrow()
    width = values.type.bit_width // 8
    return memoryview(values.buffers()[1])[values.offset * width : (values.offset + len(values)) * width]
