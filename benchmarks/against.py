"""``python -m benchmarks.against REF [--rounds N] [--bench NAME ...]``: this checkout beside another commit."""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from benchmarks.checkout import Checkout, CheckoutError, checked_out, current_checkout, install, resolve
from benchmarks.comparison import Comparison, Quantity, table, take_turns
from benchmarks.contender import Contender, ContenderError, started

ROUNDS = 7
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BENCHMARKS: dict[str, tuple[Callable[[Contender], None], Callable[[Contender], dict[Quantity, float]]]] = {
    "serving": (Contender.prepare_serving, Contender.serving),
    "jobs": (Contender.prepare_jobs, Contender.jobs),
}
"""How each is prepared, and measured for one round."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, and return 1 only where that was not possible: no figure is an error."""
    parser = argparse.ArgumentParser(prog="make bench-against", description="Compares this checkout with a commit.")
    parser.add_argument("ref", help="a branch, a tag or a commit")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each is measured (default {ROUNDS})")
    parser.add_argument("--bench", default="serving", metavar="NAMES", help=f"some of: {' '.join(BENCHMARKS)}")
    given = parser.parse_args(arguments)
    names = given.bench.split()
    if given.rounds < 1 or not names or not BENCHMARKS.keys() >= set(names):
        print(f"error: give at least one round, and some of the benchmarks {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 1
    for number in INTERRUPTS:
        signal.signal(number, _interrupt)
    try:
        lines = table(compare(resolve(given.ref), given.rounds, names))
    except KeyboardInterrupt:
        print("interrupted; the other checkout and both servers are gone", file=sys.stderr)
        return 1
    except (CheckoutError, ContenderError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("", *lines, sep="\n")
    return 0


def compare(commit: str, rounds: int, names: Sequence[str]) -> list[Comparison]:
    """Start a server of each checkout, prepare both, and measure them in turns."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-against-")))
        folder.chmod(0o711)  # sandboxes may belong to another user, who has to reach what is below
        old_checkout = stack.enter_context(checked_out(commit, folder / "checkout"))
        new_checkout = current_checkout()
        print(f"old: {old_checkout.title}\nnew: {new_checkout.title}", flush=True)
        print(f"load of the machine now: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs", flush=True)
        install(old_checkout)
        sides = [
            _Side(checkout, stack.enter_context(started(checkout, folder / name)), names)
            for checkout, name in ((old_checkout, "old"), (new_checkout, "new"))
        ]
        for side in sides:
            side.prepare()
        return take_turns(rounds, sides[0].measure, sides[1].measure, _say)


@dataclass(frozen=True)
class _Side:
    """A checkout's server, and what is measured of it. An error of it says which checkout it is of."""

    checkout: Checkout
    contender: Contender
    names: Sequence[str]

    def prepare(self) -> None:
        with self._blamed():
            for name in self.names:
                BENCHMARKS[name][0](self.contender)

    def measure(self) -> Mapping[Quantity, float]:
        taken: dict[Quantity, float] = {}
        with self._blamed():
            for name in self.names:
                taken |= BENCHMARKS[name][1](self.contender)
        return taken

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except (AssertionError, ContenderError, OSError) as error:
            raise ContenderError(f"{self.checkout.title}: {error}") from error


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Begin the end, once: an impatient second Ctrl-C must not leave the other checkout behind."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
