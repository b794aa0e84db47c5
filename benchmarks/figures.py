"""One measured figure beside what it is compared with, and the table and the file of all of them."""

import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Figure:
    """``ours`` beside ``other`` (a peer, a floor, or nothing) and the target that it is held to.

    ``bound`` is of the ratio ours/other where ``of_ratio``, else of ``ours`` itself; ``at_least`` tells its direction.
    """

    name: str
    ours: float
    unit: str
    bound: float
    other: float | None = None
    other_name: str = ""
    at_least: bool = False
    of_ratio: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.ours / self.other if self.other else None

    @property
    def is_met(self) -> bool:
        value = self.ratio if self.of_ratio else self.ours
        if value is None:
            return False
        return value >= self.bound if self.at_least else value <= self.bound

    def target(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {_short(self.bound)}x" if self.of_ratio else f"{sign} {_short(self.bound)} {self.unit}"


@dataclass(frozen=True)
class Skipped:
    """A figure that could not be measured, and why."""

    name: str
    why: str


Result = Figure | Skipped


def show(results: Sequence[Result], say: Callable[[str], None] = print) -> None:
    """The results as a table."""
    rows = [("what", "Modelyard", "beside", "ratio", "target", "")]
    for one in results:
        if isinstance(one, Skipped):
            rows.append((one.name, "-", "", "", "", f"skipped: {_first_line(one.why)}"))
            continue
        beside = f"{one.other_name} {_short(one.other)} {one.unit}" if one.other is not None else ""
        ratio = f"{one.ratio:.2f}x" if one.ratio is not None else ""
        verdict = ("ok" if one.is_met else "MISSED") + (f"  ({one.note})" if one.note else "")
        rows.append((one.name, f"{_short(one.ours)} {one.unit}", beside, ratio, one.target(), verdict))
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip())


def save(path: Path, results: Sequence[Result]) -> None:
    """The results as JSON, with the machine that they were measured on."""
    content = [
        asdict(one) | ({"ratio": one.ratio, "is_met": one.is_met} if isinstance(one, Figure) else {"skipped": True})
        for one in results
    ]
    machine = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
    path.write_text(json.dumps({"machine": machine, "results": content}, indent=2) + "\n")


def interleaved(repetitions: int, *measures: Callable[[], float]) -> tuple[float, ...]:
    """The median of each measure; one after the other is taken, again and again, so that noise hits all alike."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(repetitions):
        for values, measure in zip(taken, measures, strict=True):
            values.append(measure())
    return tuple(median(values) for values in taken)


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 160 else line[:159] + "…"


def _short(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"
