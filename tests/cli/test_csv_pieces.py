"""Cutting CSVs between rows."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from modelyard.cli.csv_pieces import csv_pieces

CELLS = st.text(alphabet='ab",\n', max_size=6)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=30),
    piece_bytes=st.integers(min_value=1, max_value=200),
    first_bytes=st.integers(min_value=0, max_value=100),
)
def test_pieces_hold_every_row_once(rows: list[list[str]], piece_bytes: int, first_bytes: int) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(["left\nright", 'quoted "name"'])
    writer.writerows(rows)
    source = io.BytesIO(written.getvalue().encode())
    found = []
    for piece in csv_pieces(source.read(first_bytes), source, piece_bytes):
        header, *some = csv.reader(io.StringIO(piece.decode(), newline=""))
        assert header == ["left\nright", 'quoted "name"']
        assert some or not rows
        found += some
    assert found == rows


def test_pieces_are_small() -> None:
    text = b"x\n" + b"1234567\n" * 10_000
    pieces = list(csv_pieces(b"", io.BytesIO(text), 8_000))
    assert len(pieces) > 4
    assert max(map(len, pieces)) <= 2 * 8_000 + 2
    assert b"".join(piece[2:] for piece in pieces) == text[2:]


def test_blank_lines_are_no_header_and_no_piece() -> None:
    rows = [f"{number},x" for number in range(50)]
    text = "\n\r\na,b\n" + "\n\n".join(rows) + "\n\n\n"
    found = [piece.decode().split("\n") for piece in csv_pieces(b"", io.BytesIO(text.encode()), 40)]
    assert len(found) > 4
    assert {lines[0] for lines in found} == {"a,b"}
    assert [line for lines in found for line in lines[1:] if line] == rows
    assert all(any(lines[1:]) for lines in found)


def test_blank_lines_of_one_column_are_rows() -> None:
    text = b"a\n" + b"1\n\n" * 50
    pieces = list(csv_pieces(b"", io.BytesIO(text), 20))
    assert b"".join(piece.removeprefix(b"a\n") for piece in pieces) == text.removeprefix(b"a\n")
