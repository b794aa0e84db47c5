"""Measurements of two checkouts, taken in turns, and whether they differ by more than they spread."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

MIN_ROUNDS = 5
"""Below this, chance alone separates the medians too often (see ``Comparison.verdict``)."""


class Verdict(StrEnum):
    """What the measurements say of the new checkout."""

    SLOWER = "SLOWER beyond the spread"
    FASTER = "faster beyond the spread"
    SAME = "no difference beyond the spread"
    UNKNOWN = f"fewer than {MIN_ROUNDS} rounds: no verdict"


@dataclass(frozen=True)
class Quantity:
    """Something that is measured in every round."""

    name: str
    unit: str
    more_is_better: bool = False


@dataclass
class Comparison:
    """One quantity of both checkouts: one value of each for each round."""

    quantity: Quantity
    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The new median divided by the old one."""
        return median(self.new) / median(self.old)

    @property
    def verdict(self) -> Verdict:
        """Whether the new median lies outside everything that the old checkout did in this run.

        The spread is the range of the old values, from the worst to the best. Where both checkouts are equally fast,
        the new median of seven is below all seven old values in 3.5 % of all comparisons (120 of 3,432 orders), that
        of five in 8.3 %, and above all of them as often.
        """
        if len(self.old) < MIN_ROUNDS:
            return Verdict.UNKNOWN
        middle = median(self.new)
        if min(self.old) <= middle <= max(self.old):
            return Verdict.SAME
        return Verdict.FASTER if (middle > max(self.old)) == self.quantity.more_is_better else Verdict.SLOWER


def take_turns(
    rounds: int,
    old: Callable[[], Mapping[Quantity, float]],
    new: Callable[[], Mapping[Quantity, float]],
    say: Callable[[str], None] = print,
) -> list[Comparison]:
    """Measure old, new, old, new, ... so that what else the machine does hits both alike."""
    comparisons: dict[Quantity, Comparison] = {}
    for number in range(1, rounds + 1):
        for measure, name in ((old, "old"), (new, "new")):
            taken = measure()
            for quantity, value in taken.items():
                comparison = comparisons.setdefault(quantity, Comparison(quantity))
                (comparison.old if name == "old" else comparison.new).append(value)
            values = ", ".join(f"{one.name} {short(value)} {one.unit}" for one, value in taken.items())
            say(f"round {number} of {rounds}, {name}: {values}")
    return list(comparisons.values())


def table(comparisons: Sequence[Comparison]) -> list[str]:
    """The lines of a table: median, minimum and maximum of both, the ratio of the medians, and the verdict."""
    rows = [("what", "unit", "old median (min-max)", "new median (min-max)", "new/old", "verdict")]
    for one in comparisons:
        name = one.quantity.name + (", more is better" if one.quantity.more_is_better else "")
        rows.append((name, one.quantity.unit, _span(one.old), _span(one.new), f"{one.ratio:.3f}", one.verdict.value))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def short(value: float) -> str:
    """Three digits, or whole numbers from 100 on."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _span(values: Sequence[float]) -> str:
    return f"{short(median(values))} ({short(min(values))}-{short(max(values))})"
