"""From the pipe of a workload to its log: whole lines, with times, without secrets, within a limit."""

import json
import os
import time

LINE_BYTES = 64 * 1024
"""Longer lines are split."""

_SHORTEST_SECRET = 4
_READ_BYTES = 256 * 1024
_MASK = b"***"


class Log:
    """Appends to segment files in `folder`, named by offset; keeps the newest two halves of `log_bytes`."""

    def __init__(self, folder: str, log_bytes: int) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._folder = folder
        self._segment_bytes = max(log_bytes // 2, 4096)
        self._starts = [0]
        self._size = 0
        self._fd = self._open(0)

    def write(self, lines: bytes) -> None:
        """Append complete lines."""
        while len(lines) > self._segment_bytes:
            cut = lines.rfind(b"\n", 0, self._segment_bytes) + 1 or lines.find(b"\n") + 1
            self._append(lines[:cut])
            lines = lines[cut:]
        self._append(lines)

    def note(self, text: str) -> None:
        """Append a line of the supervisor's own."""
        self.write(stamp() + b"[modelyard] " + text.encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        """Write no more."""
        os.close(self._fd)

    def _append(self, lines: bytes) -> None:
        if self._size > self._starts[-1] and self._size + len(lines) - self._starts[-1] > self._segment_bytes:
            self._roll()
        try:
            while lines:
                written = os.write(self._fd, lines)
                self._size += written
                lines = lines[written:]
        except OSError:
            # A full disk costs output, never the supervisor: it still has to stop the workload and write its end.
            return

    def _roll(self) -> None:
        try:
            fd = self._open(self._size)
        except OSError:
            return
        os.close(self._fd)
        self._fd = fd
        self._starts.append(self._size)
        while len(self._starts) > 2:
            os.unlink(self._path(self._starts.pop(0)))

    def _open(self, start: int) -> int:
        return os.open(self._path(start), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _path(self, start: int) -> str:
        return f"{self._folder}/{start:016d}"


class Masker:
    """Replaces the values of secrets: each of their lines, and the whole as JSON and Python write it."""

    def __init__(self, values: list[str]) -> None:
        patterns: set[str] = set()
        for value in values:
            # Line by line, since lines are what is masked: no pattern may hold, or take away, the end of one.
            for line in value.split("\n"):
                patterns.update((line, line.strip()))
            patterns.update((json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]))
        encoded = {pattern.encode("utf-8", "surrogateescape") for pattern in patterns}
        usable = (pattern for pattern in encoded if len(pattern) >= _SHORTEST_SECRET)
        self._patterns = sorted(usable, key=len, reverse=True)
        self.longest_bytes = max(map(len, self._patterns), default=0)

    def mask(self, data: bytes) -> bytes:
        """The data with every secret in it replaced."""
        for pattern in self._patterns:
            data = data.replace(pattern, _MASK)
        return data


class OutputPump:
    """Carries what comes out of `fd` into the log."""

    def __init__(self, fd: int, log: Log, masker: Masker) -> None:
        self.fd = fd
        self.is_open = True
        self._log = log
        self._masker = masker
        self._pending = b""

    def pump(self) -> bool:
        """Carry what is there now, and say whether there was anything. `fd` must not block."""
        try:
            chunk = os.read(self.fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self.close()
            return False
        self._feed(chunk)
        return True

    def drain(self, timeout_s: float) -> None:
        """Carry what is left in the pipe, at the latest until the time is over, and close."""
        deadline = time.monotonic() + timeout_s
        while self.is_open and self.pump() and time.monotonic() < deadline:
            pass
        self.close()

    def close(self) -> None:
        """Carry the last unfinished line and read no more."""
        if self.is_open:
            self.is_open = False
            os.close(self.fd)
            if self._pending:
                self._write(self._masker.mask(self._pending) + b"\n")
                self._pending = b""

    def _feed(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n") + 1
        if end:
            self._write(self._masker.mask(self._pending + chunk[:end]))
            self._pending = chunk[end:]
        else:
            self._pending += chunk
        # What is cut off must not hold the beginning of a secret whose end is still to come.
        while len(self._pending) > LINE_BYTES + self._masker.longest_bytes:
            self._pending = self._masker.mask(self._pending)
            if len(self._pending) > LINE_BYTES + self._masker.longest_bytes:
                cut = _character_border(self._pending, LINE_BYTES)
                self._write(self._pending[:cut] + b"\n")
                self._pending = self._pending[cut:]

    def _write(self, lines: bytes) -> None:
        """Log complete lines. One time serves them all: they were read at once."""
        if len(lines) > LINE_BYTES:
            lines = _split_long(lines)
        try:
            lines.decode()
        except UnicodeDecodeError:
            lines = lines.decode("utf-8", "replace").encode()
        time_and_space = stamp()
        self._log.write(time_and_space + lines[:-1].replace(b"\n", b"\n" + time_and_space) + b"\n")


def stamp() -> bytes:
    """The time now as every line begins with it."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)).encode() + b".%06dZ " % (now % 1 * 1_000_000)


def _split_long(lines: bytes) -> bytes:
    pieces: list[bytes] = []
    for line in lines[:-1].split(b"\n"):
        rest = line
        while len(rest) > LINE_BYTES:
            cut = _character_border(rest, LINE_BYTES)
            pieces.append(rest[:cut])
            rest = rest[cut:]
        pieces.append(rest)
    return b"\n".join(pieces) + b"\n"


def _character_border(data: bytes, cut: int) -> int:
    """The nearest place at or before `cut` that is not inside a UTF-8 character."""
    border = max(cut, 1)
    while border > max(cut - 4, 1) and data[border] & 0xC0 == 0x80:
        border -= 1
    return border
