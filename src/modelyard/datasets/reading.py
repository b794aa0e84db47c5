"""Reading a plain file as a table: CSV in UTF-8, JSON lines or Parquet, with memory that does not grow with it.

What is read, and how, is said in docs/cells.md; the runner reads requests by the same rules.
"""

import codecs
import csv
import re
import secrets
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import polars as pl

from modelyard.datasets.cells import MISSING
from modelyard.datasets.unpacking import CHUNK_BYTES, NotATableError

MAX_COLUMNS = 20_000
MAX_LINE_BYTES = 16 << 20
SAMPLE_ROWS = 10_000

_PARQUET = b"PAR1"
_JSON_LINES = (".jsonl", ".ndjson")
_SEPARATORS = ",;\t|"
_QUOTED = re.compile(r'"[^"]*(?:"|$)')
_BLANK_LINE = re.compile(rb"\n *\r?\n")
HEADER_CHARACTERS = 1 << 16
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BOM = codecs.BOM_UTF8


def read_table(path: Path, name: str, target: Path) -> pl.LazyFrame:
    """Writes the table in ``path`` to the Parquet file ``target`` and opens it; one that is Parquet is opened as it is.

    Raises ``NotATableError`` for what is no table: empty, not text, not UTF-8, rows that are longer than the header,
    columns without rows, columns of one name, columns that hold lists or structures.
    """
    if path.stat().st_size == 0:
        raise NotATableError(f"'{name}' is empty; upload a table with a header and at least one row.")
    with path.open("rb") as file:
        is_parquet = file.read(4) == _PARQUET
    if is_parquet:
        return _checked(_open_parquet(path))
    check_text(path, name)
    if name.lower().endswith(_JSON_LINES):
        _sink(pl.scan_ndjson(path, infer_schema_length=None), target)
    else:
        _read_csv(path, target)
    return _checked(pl.scan_parquet(target))


def texts_of_csv(path: Path, name: str, folder: Path, columns: list[str] | None = None) -> pl.DataFrame | None:
    """Some columns of a file that ``read_table`` has read, or all, as the texts they are written as: 0150 is not 150.

    ``folder`` takes what has to be written meanwhile. ``None`` for a file that is no CSV, where numbers are numbers.
    """
    with path.open("rb") as file:
        if file.read(4) == _PARQUET or name.lower().endswith(_JSON_LINES):
            return None
    header, separator = _header(path)
    chosen = header if columns is None else columns
    kinds = dict.fromkeys(chosen, pl.String())

    def read(plain: Path, sign: str) -> pl.DataFrame:
        return _scan_csv(plain, sign, header, SAMPLE_ROWS, kinds).select(chosen).collect()

    try:
        if not _has_to_be_rewritten(path, len(header)):
            return read(path, separator)
    except pl.exceptions.PolarsError:
        pass
    with _rewritten(path, separator, len(header), folder) as plain:
        return read(plain, ",")


def check_text(path: Path, name: str) -> None:
    """Raises ``NotATableError`` unless the file is UTF-8 text with lines of a bounded length."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, line_bytes = 1, 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if line == 1 and chunk.startswith(_UTF16):
                raise NotATableError(f"'{name}' is UTF-16 text; save it as UTF-8.")
            if b"\0" in chunk:
                at = line + chunk[: chunk.index(b"\0")].count(b"\n")
                raise NotATableError(f"'{name}' is not text: there is a NUL byte in line {at}; upload CSV or Parquet.")
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                at = line + chunk[: max(0, error.start)].count(b"\n")
                raise NotATableError(
                    f"'{name}' is not UTF-8 text: line {at} holds the byte 0x{error.object[error.start]:02x}; "
                    "save the file as UTF-8."
                ) from error
            newlines = chunk.count(b"\n")
            line += newlines
            line_bytes = len(chunk) - chunk.rindex(b"\n") if newlines else line_bytes + len(chunk)
            if line_bytes > MAX_LINE_BYTES:
                raise NotATableError(f"'{name}' is not a table: line {line} is longer than {MAX_LINE_BYTES} bytes.")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise NotATableError(f"'{name}' is not UTF-8 text: its last character is cut off.") from error


def _read_csv(path: Path, target: Path) -> None:
    header, separator = _header(path)
    if not _has_to_be_rewritten(path, len(header)):
        try:
            return _sink(_scan_csv(path, separator, header, SAMPLE_ROWS), target)
        except NotATableError:
            pass
    with _rewritten(path, separator, len(header), target.parent) as plain:
        try:
            _sink(_scan_csv(plain, ",", header, SAMPLE_ROWS), target)
        except NotATableError:
            _sink(_scan_csv(plain, ",", header, None), target)
    return None


def _has_to_be_rewritten(path: Path, columns: int) -> bool:
    """Whether a file has what polars reads differently: line ends of a carriage return alone, or blank lines.

    In a table of one column a blank line is a row without a value, for polars, too.
    """
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            block = rest + chunk
            if block.count(b"\r") - block.endswith(b"\r") != block.count(b"\r\n"):
                return True
            if columns > 1 and (b"\n\n" in block or b"\n\r\n" in block or _BLANK_LINE.search(block)):
                return True
            last_line = block.rfind(b"\n")
            rest = block[last_line:] if last_line >= 0 and not block[last_line:].strip() else block[-1:]
    return rest == b"\r"


@contextmanager
def _rewritten(path: Path, separator: str, columns: int, folder: Path) -> Iterator[Path]:
    """The records of a CSV file in a file of the plainest form, meanwhile.

    Raises ``NotATableError`` for a row with more values than the header, or a quote where none may be.
    """
    plain = folder / f"{path.name}.plain.csv"
    try:
        with plain.open("w", encoding="utf-8", newline="") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerows(_records(path, separator, columns))
        yield plain
    finally:
        plain.unlink(missing_ok=True)


def _records(path: Path, separator: str, columns: int) -> Iterator[list[str]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.reader(text, delimiter=separator, strict=True)
        is_header = True
        try:
            for row in rows:
                is_blank = not row or (len(row) == 1 and row[0].isspace())
                if is_blank and (columns > 1 or is_header):
                    continue
                if len(row) > columns:
                    raise NotATableError(
                        f"This is not a table: line {rows.line_num} has {len(row)} fields, the header has {columns}."
                    )
                is_header = False
                yield row + [""] * (columns - len(row))
        except csv.Error as error:
            raise NotATableError(f"This is not a table: line {rows.line_num}: {error}.") from error


def _scan_csv(
    path: Path,
    separator: str,
    header: list[str],
    sample_rows: int | None,
    kinds: Mapping[str, pl.DataType] | None = None,
) -> pl.LazyFrame:
    """The rows of a plain CSV file. Integers beyond 64 bits are floats, as everywhere."""

    def named(found: list[str]) -> list[str]:
        """The names as CSV writes them: polars leaves a quote in a name doubled."""
        return header if len(found) == len(header) else found

    def scan(overrides: Mapping[str, pl.DataType] | None) -> pl.LazyFrame:
        return pl.scan_csv(
            path,
            separator=separator,
            null_values=MISSING,
            infer_schema_length=sample_rows,
            with_column_names=named,
            schema_overrides=overrides,
        )

    table = scan(kinds)
    huge = [name for name, kind in table.collect_schema().items() if kind in {pl.Int128, pl.UInt128}]
    return scan({**(kinds or {}), **dict.fromkeys(huge, pl.Float64())}) if huge else table


def _header(path: Path) -> tuple[list[str], str]:
    """The names of the columns, and what separates them: the sign that the header has most of, outside of quotes."""
    with path.open(encoding="utf-8-sig", newline="") as text:
        first = _QUOTED.sub("", text.read(HEADER_CHARACTERS)).lstrip("\r\n ").partition("\n")[0].partition("\r")[0]
        separator = max(_SEPARATORS, key=first.count)
        text.seek(0)
        try:
            names = next((row for row in csv.reader(text, delimiter=separator) if any(map(str.strip, row))), [])
        except csv.Error as error:
            raise NotATableError(f"The header cannot be read: {error}.") from error
    if not names:
        raise NotATableError("The first line is blank; it must name the columns.")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise NotATableError(f"Several columns are called {_quoted(repeated)}; each column needs a name of its own.")
    if len(names) > MAX_COLUMNS:
        raise NotATableError(f"The table has {len(names)} columns; at most {MAX_COLUMNS} are read.")
    return names, separator


def _sink(table: pl.LazyFrame, target: Path) -> None:
    """Write a table. Each try has a file of its own: one that failed may still be written to by polars' threads."""
    part = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        table.sink_parquet(part, compression="zstd", compression_level=1)
        part.replace(target)
    except (pl.exceptions.PolarsError, OSError) as error:
        part.unlink(missing_ok=True)
        raise NotATableError(f"The file cannot be read as a table: {_first_line(error)}.") from error


def _open_parquet(path: Path) -> pl.LazyFrame:
    try:
        pl.read_parquet_schema(path)
        table = pl.scan_parquet(path)
        table.select(pl.len()).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise NotATableError(f"The Parquet file is broken: {_first_line(error)}.") from error
    return table


def _checked(table: pl.LazyFrame) -> pl.LazyFrame:
    schema = table.collect_schema()
    if not schema:
        raise NotATableError("The table has no columns.")
    if len(schema) > MAX_COLUMNS:
        raise NotATableError(f"The table has {len(schema)} columns; at most {MAX_COLUMNS} are read.")
    if any("\0" in name for name in schema):
        raise NotATableError("The name of a column holds a NUL character.")
    nested = [name for name, kind in schema.items() if kind.is_nested() or kind in {pl.Binary, pl.Object}]
    if nested:
        raise NotATableError(f"Columns hold lists, structures or bytes: {_quoted(nested)}; a cell must be one value.")
    if table.select(pl.len()).collect(engine="streaming").item() == 0:
        raise NotATableError("The table has a header but no rows.")
    return table


def _quoted(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in islice(names, 10))
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
