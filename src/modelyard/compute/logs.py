"""Reading the output of a workload while it is being written.

The supervisor writes whole lines, each as `<UTC time> <text>`, into segment files named by the offset of their first
byte. Offsets never change; when the log outgrows its limit the oldest segment goes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STAMP_BYTES = len("2026-01-01T00:00:00.000000Z ")
"""Every line begins with so many bytes of time."""

_BLOCK_BYTES = 64 * 1024
_STAMPS = re.compile(rb"^.{%d}" % STAMP_BYTES, re.MULTILINE)


@dataclass(frozen=True)
class LogPart:
    """A piece of a log in whole lines; reading goes on at `next_offset`."""

    data: bytes
    next_offset: int


class LogFile:
    """The log in `folder`, which may not exist yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def first_offset(self) -> int:
        """The offset of the oldest byte that is still kept."""
        return next((start for start, _ in self._segments()), 0)

    @property
    def size(self) -> int:
        """The offset just after the newest byte; so many bytes were ever written."""
        for start, path in reversed(list(self._segments())):
            try:
                return start + path.stat().st_size
            except FileNotFoundError:
                continue
        return 0

    def read(self, offset: int = 0, limit: int = 1024 * 1024, *, times: bool = True) -> bytes:
        """Up to about `limit` bytes of whole lines, see `part`."""
        return self.part(offset, limit, times=times).data

    def part(self, offset: int = 0, limit: int = 1024 * 1024, *, times: bool = True) -> LogPart:
        """Whole lines from `offset` on, up to about `limit` bytes, with or without their times.

        `offset` is 0 or a `next_offset`. Where older output was dropped, a line says how much, and reading goes on
        with what is kept.
        """
        first = self.first_offset
        notice = b""
        if offset < first:
            notice = dropped_notice(first - offset)
            offset = first
        raw = self._raw(offset, limit)
        end = raw.rfind(b"\n") + 1
        if not end and raw:
            raw += self._raw(offset + len(raw), 4 * _BLOCK_BYTES)
            end = raw.find(b"\n") + 1
        lines = raw[:end]
        next_offset = offset + len(lines)
        if notice and times and lines:
            notice = lines[:STAMP_BYTES] + notice
        return LogPart(notice + (lines if times else without_times(lines)), next_offset)

    def tail(self, lines: int, *, times: bool = True, limit: int = 4 * 1024 * 1024) -> list[str]:
        """The newest `lines` lines, oldest first; fewer where they are more than about `limit` bytes."""
        if lines <= 0:
            return []
        first = self.first_offset
        start = self.size
        blocks: list[bytes] = []
        line_ends = read_bytes = 0
        while start > first and line_ends <= lines and read_bytes < limit:
            begin = max(first, start - _BLOCK_BYTES)
            block = self._raw(begin, start - begin)
            if not block:
                break
            blocks.append(block)
            line_ends += block.count(b"\n")
            read_bytes += len(block)
            start = begin
        data = b"".join(reversed(blocks))
        if start > first and line_ends <= lines:
            data = data[data.find(b"\n") + 1 :]  # the limit cut a line
        newest = b"\n".join(data.rstrip(b"\n").split(b"\n")[-lines:])
        text = (newest if times else without_times(newest)).decode("utf-8", "replace")
        return text.split("\n") if newest else []

    def _raw(self, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes as stored, over the borders of segments."""
        pieces: list[bytes] = []
        for start, path in self._segments():
            try:
                with path.open("rb") as segment:
                    if limit <= 0 or offset < start:
                        break
                    segment.seek(offset - start)
                    piece = segment.read(limit)
            except FileNotFoundError:
                continue
            pieces.append(piece)
            offset += len(piece)
            limit -= len(piece)
        return b"".join(pieces)

    def _segments(self) -> Iterator[tuple[int, Path]]:
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.iterdir()):
            if path.name.isdigit():
                yield int(path.name), path


def without_times(lines: bytes) -> bytes:
    """The lines without the time that each begins with."""
    return _STAMPS.sub(b"", lines)


def dropped_notice(size_bytes: int) -> bytes:
    """The line that stands for older output that was not kept."""
    return b"[modelyard] %d bytes of older output were dropped\n" % size_bytes
