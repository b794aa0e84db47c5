"""Which row of a project's data is for what: reproducible from the seed, with every class in every part."""

import random
from typing import Literal

import msgspec
import polars as pl

HOLDOUT = -1
VALIDATION = 0
"""The part that a ``tvh`` partitioning validates on; with folds each is validated on in its turn."""


ROUNDING = 1e-9


class Partitioning(msgspec.Struct, frozen=True, rename="camel"):
    """``cv``: so many folds, each of which is validated on once. ``tvh``: a share to validate on, the rest to train on.

    Both may keep a share of the rows out of everything, to measure the final model on.
    """

    method: Literal["cv", "tvh"]
    folds: int | None
    validation_pct: float | None
    holdout_pct: float
    seed: int


class Fit(msgspec.Struct, frozen=True):
    """One training: on the rows of some parts, measured on those of others."""

    id: str
    train: list[int]
    score: list[int]


FINAL = "final"


def fits(partitioning: Partitioning) -> list[Fit]:
    """One training per part to validate on, and one on everything but the holdout: the model that is kept."""
    count = partitioning.folds or 2
    parts = list(range(count))
    validated = parts if partitioning.method == "cv" else [VALIDATION]
    found = [Fit(f"fold-{part + 1}", [one for one in parts if one != part], [part]) for part in validated]
    if partitioning.method == "tvh":
        found = [Fit("validation", found[0].train, found[0].score)]
    return [*found, Fit(FINAL, parts, [HOLDOUT] if partitioning.holdout_pct else [])]


def assign(partitioning: Partitioning, row_count: int, classes: pl.Series | None) -> pl.Series:
    """The part of each row, as Int16: ``HOLDOUT`` or a number from 0. With ``classes`` each has its share of each.

    The rows of a class are dealt out in an order that the seed draws, beginning where the class before ended, so that
    the shares are right to a row or so.
    """
    draw = random.Random(partitioning.seed).random  # noqa: S311 # to be repeated, not to be secret
    rows = pl.DataFrame({"draw": [draw() for _ in range(row_count)]}).with_row_index("row")
    rows = rows.with_columns((classes.rank("dense") if classes is not None else pl.lit(0)).alias("class"))
    dealt = rows.sort("class", "draw").select("row", _deal(partitioning).cast(pl.Int16).alias("part"))
    return dealt.sort("row")["part"]


def _deal(partitioning: Partitioning) -> pl.Expr:
    """The part of the row at each place of an order: every stretch of it has each part's share."""
    place = pl.int_range(pl.len())
    holdout = partitioning.holdout_pct / 100
    left = place - _taken(place + 1, holdout)
    if partitioning.method == "cv":
        part = left % (partitioning.folds or 1)
    else:
        share = (partitioning.validation_pct or 0) / 100 / (1 - holdout)
        part = pl.when(_taken(left + 1, share) > _taken(left, share)).then(VALIDATION).otherwise(1)
    return pl.when(_taken(place + 1, holdout) > _taken(place, holdout)).then(HOLDOUT).otherwise(part)


def _taken(places: pl.Expr, share: float) -> pl.Expr:
    """How many of the first ``places`` belong to a part with this share."""
    return (places * share + ROUNDING).floor().cast(pl.Int64)
