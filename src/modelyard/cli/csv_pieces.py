"""Cutting a CSV between rows, so that a file of any size is scored in requests that servers take."""

import re
from collections.abc import Iterator
from typing import BinaryIO

PIECE_BYTES = 16 * 1024 * 1024
_SEPARATORS = re.compile(rb"[,;\t|]")


def csv_pieces(first: bytes, source: BinaryIO, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """A CSV (``first`` and what ``source`` still holds) as CSVs of about ``piece_bytes``, each with the header.

    A line break inside quotes is none. A row that is larger than a piece stays whole. Blank lines are rows in a table
    of one column only, and never the header.
    """
    rest = (first + source.read(piece_bytes)).lstrip(b"\r\n")
    while not (header_end := _row_end(rest, last=False)):
        more = source.read(piece_bytes)
        if not more:
            yield rest
            return
        rest += more
    header, rest = rest[:header_end], rest[header_end:]
    is_first = True
    while True:
        more = source.read(piece_bytes)
        if not more:
            has_rows = bool(rest.strip()) or (bool(rest) and not _SEPARATORS.search(header))
            if has_rows or is_first:
                yield header + rest
            return
        rest += more
        end = _row_end(rest, last=True)
        if end and len(rest) > piece_bytes:
            yield header + rest[:end]
            rest, is_first = rest[end:], False


def _row_end(text: bytes, *, last: bool) -> int:
    """Where the first or last complete row of ``text`` ends, which begins with a row; 0 where none does."""
    place = len(text) if last else 0
    quotes = text.count(b'"') if last else 0
    while True:
        found = text.rfind(b"\n", 0, place) if last else text.find(b"\n", place)
        if found < 0:
            return 0
        if last:
            quotes -= text.count(b'"', found, place)
        else:
            quotes += text.count(b'"', place, found)
        if quotes % 2 == 0:
            return found + 1
        place = found if last else found + 1
