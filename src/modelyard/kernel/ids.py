"""Ids: 24 hexadecimal digits that sort by the time of their making, like a BSON ObjectId."""

import os
import re
import threading
import time

_PATTERN = re.compile(r"[0-9a-f]{24}")
_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new id: 48 bits of milliseconds, 16 bits of sequence within one process, 32 random bits.

    Ids of one process are strictly increasing, also within a millisecond and when the clock steps back.
    """
    global _last
    with _lock:
        _last = max(_last + 1, (time.time_ns() // 1_000_000) << 16)
        ordered = _last
    return f"{ordered:016x}{os.urandom(4).hex()}"


def is_id(text: str) -> bool:
    """Whether ``text`` has the form of an id (any 24 lower-case hexadecimal digits)."""
    return _PATTERN.fullmatch(text) is not None
