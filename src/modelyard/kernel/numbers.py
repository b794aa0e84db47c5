"""Which numbers and times a request may hold: what a database stores, what JSON can write, and what can be shifted."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**63 - 1
OUT_OF_RANGE: Final = f"must be an integer from {MIN_INTEGER} to {MAX_INTEGER}, the range of 64 bits"
NOT_FINITE: Final = "must be a finite number"
MIN_YEAR: Final = 1000
MAX_YEAR: Final = 8999
"""So far from the ends of what a ``datetime`` holds that zones and periods can be added."""
NO_SUCH_TIME: Final = f"must be a time of the years {MIN_YEAR} to {MAX_YEAR}"
_SUSPECT: Final = re.compile(rb'[0-9]{19}|"[09][0-9]{3}-')


def may_exceed(content: bytes) -> bool:
    """Whether a JSON text may hold what ``number_error`` reports: as many digits as the limits have, or such a year."""
    return _SUSPECT.search(content) is not None


def number_error(value: Any) -> str | None:
    """Return what is wrong with a number or time that is out of range, however deep in a decoded value it is."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, int):
            if not MIN_INTEGER <= part <= MAX_INTEGER:
                return OUT_OF_RANGE
        elif isinstance(part, float):
            if not math.isfinite(part):
                return NOT_FINITE
        elif isinstance(part, datetime):
            if not MIN_YEAR <= part.year <= MAX_YEAR:
                return NO_SUCH_TIME
        elif isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, msgspec.Struct):
            waiting += [getattr(part, name) for name in part.__struct_fields__]
    return None
