"""The log of a run or a training: so far, or followed across broken connections and restarts of the server."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError
from modelyard.cli.following import PATIENCE_S, is_away, pauses
from modelyard.cli.screen import note, print_json
from modelyard.cli.server_events import Event, read_events
from modelyard.cli.terminal import drawing_lines, escaped_json

STAMP_LENGTH = len("2026-01-01T00:00:00.000000Z ")


class Line(NamedTuple):
    """One line of a log; ``time`` is empty where the server speaks of lines that it no longer has."""

    time: str
    text: str


class RunLog:
    """Every line once, in order, as they come.

    Where it was is the time of the newest line and how many lines had that time. When the connection breaks, the log
    is read again from its beginning and what was seen is passed over; counting all lines would not do, for the server
    drops the oldest of a long log.
    """

    def __init__(self, api: Api, log_path: str, tail: int | None = None) -> None:
        self._api = api
        self._path = log_path
        self._tail = tail
        self._time = ""
        self._count = 0
        self._heard_at = time.monotonic()

    def lines(self) -> Iterator[Line]:
        """The lines up to the end of the run. Raises ``CommandError`` when the server stays away or refuses."""
        is_told = False
        for _ in pauses():
            try:
                heard_before = self._heard_at
                yield from self._until_end()
            except _Broken as broken:
                if self._heard_at > heard_before:
                    is_told = False
                elif time.monotonic() - self._heard_at > PATIENCE_S:
                    raise broken.error from broken
                if not is_told:
                    note("[the connection broke; trying again]")
                    is_told = True
            else:
                return

    def _until_end(self) -> Iterator[Line]:
        query = {"follow": "true", "timestamps": "true"}
        if self._tail is not None and not self._time:
            query["tail"] = str(self._tail)
        resumed, seen, is_caught_up = (self._time, self._count), 0, not self._time
        for name, data in self._events(query):
            if name == "end":
                return
            if name == "error":
                raise CommandError(data)
            line = _line(data)
            if not is_caught_up:
                seen += line.time == resumed[0]
                if line.time < resumed[0] or (line.time == resumed[0] and seen <= resumed[1]):
                    continue
                is_caught_up = True
            self._remember(line)
            yield line
        raise _Broken(CommandError("the server stopped sending the log", hint="try again"))

    def _events(self, query: dict[str, str]) -> Iterator[Event]:
        try:
            with self._api.stream("GET", self._api.url(self._path), params=query) as response:
                yield from read_events(self._heard(response.iter_bytes()))
        except CommandError as error:
            if is_away(error):
                raise _Broken(error) from error
            raise

    def _heard(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._heard_at = time.monotonic()
            yield chunk

    def _remember(self, line: Line) -> None:
        if not line.time:
            return
        self._count = self._count + 1 if line.time == self._time else 1
        self._time = line.time


class _Broken(Exception):  # noqa: N818 # never seen outside
    """The connection ended before the log did."""

    def __init__(self, error: CommandError) -> None:
        super().__init__(error.message)
        self.error = error


def _line(data: str) -> Line:
    """An event's data as a line. Carriage returns come as breaks of the data."""
    return Line(data[:STAMP_LENGTH].strip(), data[STAMP_LENGTH:].replace("\n", "\r"))


def print_log(api: Api, log_path: str, *, tail: int | None, timestamps: bool, as_json: bool) -> None:
    """Prints what there is of a log now."""
    query: Json = {"timestamps": str(timestamps).lower()} | ({} if tail is None else {"tail": tail})
    if as_json:
        print_json({"log": api.text(log_path, **query)})
        return
    drawing = nullcontext() if timestamps else drawing_lines(sys.stdout)
    with api.stream("GET", api.url(log_path), params=query) as response, drawing:
        for chunk in response.iter_bytes():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


def print_text(line: Line) -> None:
    with drawing_lines(sys.stdout):
        _write(line.text)


def print_with_time(line: Line) -> None:
    _write(f"{line.time} {line.text}" if line.time else line.text)


def print_as_json(line: Line) -> None:
    _write(escaped_json(json.dumps({"time": line.time or None, "text": line.text}, ensure_ascii=False)))


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
