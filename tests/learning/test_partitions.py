"""Which row is for what."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.learning.partitions import FINAL, HOLDOUT, VALIDATION, Partitioning, assign, fits

FIVE = Partitioning("cv", 5, None, 20.0, 7)
SPLIT = Partitioning("tvh", None, 16.0, 20.0, 7)


@given(
    rows=st.integers(10, 400),
    folds=st.integers(2, 8),
    holdout=st.sampled_from([0.0, 10.0, 20.0, 33.0]),
    seed=st.integers(0, 3),
    classes=st.integers(1, 4),
)
def test_each_part_has_its_share_of_each_class(rows: int, folds: int, holdout: float, seed: int, classes: int) -> None:
    values = pl.Series([number % classes for number in range(rows)])
    parts = assign(Partitioning("cv", folds, None, holdout, seed), rows, values)
    assert len(parts) == rows
    for label in range(classes):
        own = parts.filter(values == label)
        kept_out = int((own == HOLDOUT).sum())
        assert abs(kept_out - len(own) * holdout / 100) <= 1
        counts = [int((own == fold).sum()) for fold in range(folds)]
        assert sum(counts) + kept_out == len(own)
        assert max(counts) - min(counts) <= 1


def test_a_split_has_its_shares() -> None:
    parts = assign(SPLIT, 1000, None)
    assert {part: int((parts == part).sum()) for part in (HOLDOUT, VALIDATION, 1)} == {HOLDOUT: 200, 0: 160, 1: 640}


def test_a_seed_gives_the_same_parts_again_and_another_gives_others() -> None:
    values = pl.Series(["a", "b"] * 50)
    assert assign(FIVE, 100, values).equals(assign(FIVE, 100, values))
    assert not assign(FIVE, 100, values).equals(assign(Partitioning("cv", 5, None, 20.0, 8), 100, values))
    assert assign(Partitioning("cv", 2, None, 0.0, 0), 10, None).to_list() == [1, 1, 1, 0, 1, 0, 0, 1, 0, 0]


def test_rows_of_one_class_do_not_follow_the_order_of_the_file() -> None:
    """Sorted files are common, and a fold of neighbours would tell little."""
    parts = assign(Partitioning("cv", 2, None, 0.0, 0), 100, None)
    assert 0 < int((parts[:50] == 0).sum()) < 50


def test_every_fold_is_validated_on_once_and_the_last_training_sees_all_of_them() -> None:
    found = fits(FIVE)
    assert [fit.id for fit in found] == ["fold-1", "fold-2", "fold-3", "fold-4", "fold-5", FINAL]
    assert [fit.score for fit in found] == [[0], [1], [2], [3], [4], [HOLDOUT]]
    assert all(set(fit.train) == {0, 1, 2, 3, 4} - set(fit.score) for fit in found)


@pytest.mark.parametrize(("holdout", "measured"), [(20.0, [HOLDOUT]), (0.0, [])])
def test_a_split_trains_twice(holdout: float, measured: list[int]) -> None:
    first, last = fits(Partitioning("tvh", None, 16.0, holdout, 0))
    assert (first.id, first.train, first.score) == ("validation", [1], [VALIDATION])
    assert (last.id, last.train, last.score) == (FINAL, [0, 1], measured)
