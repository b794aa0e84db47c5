"""Files are read by the same rules as requests are: the reader of datasets beside that of the runner, on odd files."""

import csv
import io
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.datasets.cells import MISSING, json_cell, spelled
from modelyard.datasets.reading import read_table, texts_of_csv
from modelyard.datasets.unpacking import NotATableError
from modelyard_runner.models.columns import Kind, Schema, moment_of
from modelyard_runner.models.frames import frame_of_csv, frame_of_rows
from modelyard_runner.problems import Refusal
from modelyard_runner.wire.payload import read_payload
from modelyard_runner.wire.rows import MISSING_TEXTS, json_rows, json_value

Read = tuple[list[str], list[tuple[Any, ...]]]

FILES = {
    "commas": b"a,b\n1,x\n2,y\n",
    "semicolons": b"a;b\n1,5;x\n2;y\n",
    "tabs": b"a\tb\n1\tx\n\t\n",
    "bars": b"a|b\n1|x\n",
    "a name with the other sign": b'"a;b;c",d\n1,2\n',
    "Windows": b"a,b\r\n1,x\r\n\r\n2,y\r\n",
    "carriage returns": b"a,b\r1,x\r2,y\r",
    "a carriage return among others": b"a,b\n1,x\r2,y\n",
    "a byte order mark": b"\xef\xbb\xbfa,b\n1,x\n",
    "no last line end": b"a,b\n1,x",
    "blank lines": b"a,b\n\n1,x\n\n\n2,y\n\n",
    "lines of blanks": b"a,b\n1,x\n   \n2,y\n",
    "blank lines before": b"\n\r\na,b\n1,x\n",
    "a blank line in quotes": b'a,b\n"x\n\ny",2\n',
    "one column": b"a\n1\n2\n",
    "one column with a blank line": b"a\n1\n\n3\n",
    "one column with blank lines at the end": b"a\n1\n\n\n",
    "one column with an empty quote": b'a\n1\n""\n3\n',
    "one column with blanks": b"a\n1\n  \n3\n",
    "one column of carriage returns": b"a\r1\r\r3\r",
    "short rows": b"a,b,c\n1\n1,2\n",
    "empty cells": b"a,b\n,\n1,\n",
    "quotes": b'a,b\n"x ""q"" y","1,2"\n',
    "a quote inside": b'a,b\nx"y,2\n"z",3\n',
    "a nameless column": b",b\n0,x\n1,y\n",
    "numbers of every kind": b"a,b\n007,+5\n.5,1e3\n5.,inf\n",
    "large integers": b"a,b\n9223372036854775807,18446744073709551616\n",
    "words for nothing": b"a\n" + b"\n".join(word.encode() for word in MISSING if word) + b"\n",
    "words for nothing in quotes": b'a,b\n"NA","null"\n',
    "a comment is none": b"a,b\n#1,2\n",
    "a longer row": b"a,b\n1,2,3\n",
    "a longer row later": b"a,b\n1,2\n1,2,\n",
    "longer rows": b"a,b\n5,1,2\n6,3,4\n",
    "a row longer by an empty cell": b"a\n1,\n",
    "an open quote": b'a,b\n1,"2\n3,4\n',
    "text after a quote": b'a,b\n"x"y,2\n',
    "two columns of a name": b"a,a\n1,2\n",
    "a header alone": b"a,b\n",
    "nothing": b"\n\n",
    "no text": b"a,b\n\0,1\n",
    "no UTF-8": b"a,b\n\xff,1\n",
}


def by_datasets(content: bytes, folder: Path) -> Read | None:
    path = folder / "file.csv"
    path.write_bytes(content)
    (folder / "table.parquet").unlink(missing_ok=True)
    try:
        table = read_table(path, "file.csv", folder / "table.parquet").collect()
    except NotATableError:
        return None
    texts = texts_of_csv(path, "file.csv", folder)
    assert texts is not None
    assert (texts.columns, texts.height) == (table.columns, table.height)
    assert sorted(one.name for one in folder.iterdir()) == ["file.csv", "table.parquet"]
    return texts.columns, texts.rows()


def by_runner(content: bytes) -> Read | None:
    try:
        frame = frame_of_csv(read_payload(content, b"text/csv").body, Schema(others=Kind.TEXT))
    except Refusal:
        return None
    cells = [tuple(cell if isinstance(cell, str) else None for cell in row) for row in frame.to_numpy().tolist()]
    return ["" if name.startswith("Unnamed: ") else name for name in frame.columns], cells


@pytest.mark.parametrize("name", FILES)
def test_both_readers_see_the_same_cells(tmp_path: Path, name: str) -> None:
    found = by_runner(FILES[name])
    assert by_datasets(FILES[name], tmp_path) == found
    is_refused = list(FILES).index(name) >= list(FILES).index("a longer row")
    assert (found is None) == is_refused


CELLS = st.text(alphabet="a1\"',; \n\t.-", max_size=5)
ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1))


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, separator=st.sampled_from(",;\t"), line_end=st.sampled_from(["\n", "\r\n", "\r"]))
def test_both_readers_see_what_was_written(rows: list[list[str]], separator: str, line_end: str) -> None:
    names = ["a", "b", "c"][: len(rows[0])]
    file = io.StringIO(newline="")
    sign = separator if len(names) > 1 else ","
    quoting: Literal[0, 1] = csv.QUOTE_ALL if line_end == "\r" else csv.QUOTE_MINIMAL
    writer = csv.writer(file, delimiter=sign, lineterminator=line_end, quoting=quoting)
    writer.writerows([names, *rows])
    content = file.getvalue().encode()
    expected = [tuple(None if cell in MISSING_TEXTS else cell for cell in row) for row in rows]
    assert by_runner(content) == (names, expected)
    with tempfile.TemporaryDirectory() as folder:
        assert by_datasets(content, Path(folder)) == (names, expected)


def test_json_lines_are_the_rows_of_a_file_and_of_a_request(tmp_path: Path) -> None:
    content = b'{"a": 1, "b": "x"}\n\n{"a": null, "b": "007"}\n{"b": "NA"}\n'
    (tmp_path / "rows.jsonl").write_bytes(content)
    table = read_table(tmp_path / "rows.jsonl", "rows.jsonl", tmp_path / "table.parquet").collect()
    frame = frame_of_rows(json_rows(content))
    assert table.rows() == [(1, "x"), (None, "007"), (None, "NA")]
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == [list(row) for row in table.rows()]


@pytest.mark.parametrize("body", [b'{"a": 1}\n{"a": 2', b'{"a": 1}\n[2]\n', b'{"a": 1} {"a": 2}'])
def test_lines_that_are_no_json(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        json_rows(body)
    assert caught.value.status == 400


def test_the_words_and_numbers_are_those_of_the_runner() -> None:
    assert set(MISSING) == MISSING_TEXTS
    for text in [
        "1",
        "-0",
        "007",
        "1.5",
        "1e3",
        "1e999",
        "9" * 30,
        "9223372036854775807",
        "-9223372036854775808",
        "x",
        "9" * 5000,
    ]:
        assert (json_cell(text), type(json_cell(text))) == (json_value(text), type(json_value(text)))


def test_integers_of_any_size_become_a_column(tmp_path: Path) -> None:
    targets = (tmp_path / f"{number}.parquet" for number in count())

    def read(content: str) -> pl.Series:
        (tmp_path / "file.csv").write_text(content)
        return read_table(tmp_path / "file.csv", "file.csv", next(targets)).collect()["a"]

    assert read(f"a\n1\n{2**63 - 1}\n").to_list() == [1, 2**63 - 1]
    for huge in (2**63, 2**64, 10**40):
        assert read(f"a\n1\n{huge}\n").to_list() == [1.0, float(huge)]
        assert read("a\n" + "1\n" * 12_000 + f"{huge}\n").to_list()[-1] == float(huge)


def test_dates_and_times_are_spelled_as_the_runner_spells_them() -> None:
    moments = ["2024-02-29T12:30:00", "2024-02-29T12:30:00.5", "2024-02-29T12:30:00.000001"]
    units: list[Literal["ms", "us", "ns"]] = ["ms", "us", "ns"]
    for unit in units:
        for zone in (None, "UTC", "Europe/Berlin"):
            column = pl.Series(moments).str.to_datetime(time_unit=unit).dt.replace_time_zone(zone)
            by_polars = pl.DataFrame({"a": column}).write_csv().splitlines()[1:]
            assert spelled(column).to_list() == [moment_of(text) for text in by_polars]
            assert spelled(column)[0] == {None: "2024-02-29 12:30:00", "UTC": "2024-02-29 12:30:00+00:00"}.get(
                zone, "2024-02-29 12:30:00+01:00"
            )
