"""Waiting with the user: what is going on, since when, and how to come back to it."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.segment import Segment

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError
from modelyard.cli.screen import note
from modelyard.cli.terminal import SafeTerminal, drawing_lines, visible

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
PATIENCE_S = 60.0
AWAY = (None, 502, 503, 504)
"""What the client or a proxy in front says of a server that restarts."""
Answer = TypeVar("Answer")

UNFINISHED = ("INITIALIZED", "RUNNING")


class SafeConsole(Console):
    """A Rich console on standard error whose own control codes pass, and those of the texts that it shows do not."""

    def __init__(self, *, quiet: bool) -> None:
        stream = sys.stderr
        super().__init__(file=stream.stream if isinstance(stream, SafeTerminal) else stream, quiet=quiet)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                style = segment.style.update_link(None) if segment.style and segment.style.link else segment.style
                yield Segment(visible(segment.text), style)


def stderr_console(*, quiet: bool = False) -> Console:
    """Where progress goes: stderr, silent unless it is a terminal."""
    return SafeConsole(quiet=quiet or not sys.stderr.isatty())


@contextmanager
def interruptible(come_back: str, what: str = "the server") -> Iterator[None]:
    """Says on Ctrl-C that ``what`` goes on, and how to come back to it."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"\nStopped waiting; {what} goes on. {come_back}")
        raise


@contextmanager
def spinner(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """A line that turns and counts seconds while the block runs; the yielded function changes its text."""
    console = stderr_console(quiet=quiet)
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda text: progress.update(task, description=text)


@contextmanager
def upload_bar(title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
    """A bar of bytes sent; the yielded function takes how many more have gone."""
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=stderr_console(),
        transient=True,
    ) as progress:
        task = progress.add_task(title, total=total_bytes)
        yield lambda count: progress.update(task, advance=count)


@contextmanager
def step_bar(title: str, *, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A bar of steps done; the yielded function takes how many are, of how many, and which is under way.

    Where there is no terminal, each change is a line instead.
    """
    if not quiet and not sys.stderr.isatty():
        yield _step_lines()
        return
    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=stderr_console(quiet=quiet), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total, text: progress.update(
            task, completed=done, total=total, description=f"{title}: {text}"
        )


def _step_lines() -> Callable[[int, int, str], None]:
    told: list[str] = []

    def tell(done: int, total: int, text: str) -> None:
        line = f"{done}/{total} {text}"
        if told[-1:] != [line]:
            note(line)
            told.append(line)

    return tell


def pauses() -> Iterator[None]:
    """One turn of a loop that looks again and again: soon at first, then once a second."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def wait_for(api: Api, location: str, title: str, on_turn: Callable[[], None] | None = None) -> str | None:
    """Waits for an operation's end; returns the path of what it made.

    ``on_turn`` is called before each look, so that what it shows is complete when the wait ends. Raises
    ``CommandError`` with the server's reason where the operation failed.
    """
    status_id = location.rstrip("/").rpartition("/")[2]
    with interruptible(f"See how it goes: modelyard status {status_id} --wait"), spinner(title) as say:
        for _ in pauses():
            response = api.request("GET", location, follow_redirects=False)
            if on_turn:
                on_turn()
            if response.status_code == 303:
                return response.headers.get("Location")
            status = response.json()
            if "status" not in status:  # the location was that of the result itself: it was there already
                return location
            if status["status"] == "COMPLETED":
                return None
            if status["status"] not in UNFINISHED:
                raise failed(status)
            say(f"{title}: {status['message']}" if status["message"] else title)
    raise AssertionError


def patient(ask: Callable[[], Answer], *, since: float | None = None) -> Answer:
    """Asks again while the server cannot be reached, for up to ``PATIENCE_S`` from ``since`` (monotonic) on."""
    began = time.monotonic() if since is None else since
    for _ in pauses():
        try:
            return ask()
        except CommandError as error:
            if not is_away(error) or time.monotonic() - began > PATIENCE_S:
                raise
    raise AssertionError


def is_away(error: CommandError) -> bool:
    """Whether the server could not be reached, so that asking again may help."""
    return error.status in AWAY


def failed(status: Json) -> CommandError:
    """A failed operation as an error."""
    text = status["message"] or status["description"] or f"it ended as {status['status']}"
    return CommandError(text)


class LogFollower:
    """Prints a growing log, each line once, as its lines become complete."""

    def __init__(self, read: Callable[[], str], *, quiet: bool) -> None:
        self.read = read
        self.quiet = quiet
        self.text = ""
        self.shown = 0

    def look(self) -> None:
        """Prints the lines that are new and whole."""
        self.text = self.read()
        self._show(self.text.rfind("\n") + 1)

    def finish(self) -> None:
        """Prints what is left."""
        self.look()
        self._show(len(self.text))

    def _show(self, end: int) -> None:
        if end > self.shown and not self.quiet:
            with drawing_lines(sys.stderr):
                sys.stderr.write(self.text[self.shown : end])
            sys.stderr.flush()
        self.shown = max(self.shown, end)
