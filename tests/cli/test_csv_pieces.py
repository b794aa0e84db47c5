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
