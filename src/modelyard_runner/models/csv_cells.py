"""Which columns of a CSV body hold numbers that pandas reads and JSON does not write: `007`, `+5`, `.5`, ` 5`.

pandas reads whole columns of numbers far faster than cells can be looked at one by one; so its result is used, and the
bytes are searched for what may have been read differently from the rule of docs/cells.md.
"""

from typing import Any

import numpy as np

BLOCK_BYTES = 1 << 18
_ZERO, _POINT, _SPACE, _PLUS, _MINUS, _TAB = (ord(sign) for sign in "0. +-\t")


def odd_columns(body: bytes, separator: str, width: int) -> set[int] | None:
    """The places of the columns with numbers that JSON does not write so; None where it may be any column."""
    content = np.frombuffer(b"\n\n" + body + b"\n\n", dtype=np.uint8)
    starts = (ord(separator), *b'\r\n"')
    signs = [sign for sign in (_SPACE, _PLUS, _TAB) if sign in body]
    found = [
        _odd(content, start, min(start + BLOCK_BYTES, len(content) - 2), starts, signs)
        for start in range(2, len(content) - 2, BLOCK_BYTES)
    ]
    places = np.concatenate(found) - 2
    if not len(places):
        return set()
    text = content[2:-2]
    ends = np.flatnonzero((text == ord(separator)) | (text == ord("\n")))
    is_regular = len(ends) % width == 0 and not (text == ord('"')).any() and b"\r" not in body.replace(b"\r\n", b"\n")
    if not is_regular or not (text[ends[width - 1 :: width]] == ord("\n")).all() or b"\n\n" in body:
        return None
    return {int(place) for place in np.unique(np.searchsorted(ends, places) % width)}


def _odd(content: Any, start: int, stop: int, starts: tuple[int, ...], signs: list[int]) -> Any:
    """Where in a part of the content a number begins or ends in a way that JSON does not know."""
    block = content[start - 1 : stop + 1]
    digits, points, here = _is_digit(block), block == _POINT, block[1:-1]
    found = digits[:-2] | points[:-2]
    np.logical_not(found, out=found)
    found &= here == _ZERO
    found &= digits[2:]  # 0 before a digit, after neither a digit nor a point
    lone = digits[:-2] & digits[2:]
    np.logical_not(lone, out=lone)
    lone &= points[1:-1]  # a point that is not between digits
    found |= lone
    for sign in signs:
        found |= here == sign
    places = np.flatnonzero(found) + start
    if not len(places):
        return places
    here, before, after = content[places], content[places - 1], content[places + 1]
    at_start = np.isin(before, starts) | ((before == _MINUS) & np.isin(content[places - 2], starts))
    at_end = np.isin(after, starts) | np.isin(after, list(b"eE"))
    begins = at_start & (_is_digit(after) | np.isin(after, list(b"+-. \t")))
    ends = at_end & (_is_digit(before) | np.isin(before, list(b". \t"))) & (here != _ZERO) & (here != _PLUS)
    return places[begins | ends]


def _is_digit(signs: Any) -> Any:
    return (signs - np.uint8(_ZERO)) < 10
