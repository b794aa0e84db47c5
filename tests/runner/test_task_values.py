"""What goes from task to task, on its own: types, parts, files, and the calibration of scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from modelyard_runner.target import Target, TargetType
from modelyard_runner.tasks.calibration import Calibration
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.tasks.schema import Requirements, types_of
from modelyard_runner.tasks.values import Sparse, given, part, taken
from modelyard_runner.training.outputs import MOST_CELLS, MOST_ROWS, block_rows
from modelyard_runner.training.storage import load_value, save_value

PROSE = ["the cat sat here", "a dog ran away", "birds fly very high"]


@pytest.mark.parametrize(
    ("values", "likely", "possible"),
    [
        ([1, 2], "NUM", {"NUM", "DATE_DURATION"}),
        ([1.5, None], "NUM", {"NUM", "DATE_DURATION"}),
        ([None, None], "CAT", {"TXT", "CAT", "DATE", "IMG", "GEO", "COUNT_DICT"}),
        ([True, False], "CAT", {"CAT", "NUM"}),
        (["red", "blue"], "CAT", {"TXT", "CAT", "IMG", "GEO", "COUNT_DICT"}),
        (PROSE, "TXT", {"TXT", "CAT", "IMG", "GEO", "COUNT_DICT"}),
        (["2026-01-02", "2026-1-3 10:00"], "DATE", {"TXT", "CAT", "IMG", "GEO", "COUNT_DICT", "DATE"}),
        (["02/01/2026", None], "DATE", {"TXT", "CAT", "IMG", "GEO", "COUNT_DICT", "DATE"}),
        ([pd.Timestamp("2026-01-02")], "DATE", {"DATE"}),
        ([pd.Timedelta(hours=1)], "DATE_DURATION", {"DATE_DURATION"}),
        (["2026-01-02", "soon"], "CAT", {"TXT", "CAT", "IMG", "GEO", "COUNT_DICT"}),
    ],
)
def test_types_of_columns(values: list[Any], likely: str, possible: set[str]) -> None:
    assert types_of(pd.Series(values)) == (likely, frozenset(possible))


def test_a_few_rows_do_not_break_what_more_rows_kept() -> None:
    """One short text is no proof that a column of texts has become one of categories."""
    schema = {"input_requirements": [{"field": "data_types", "condition": "NOT_IN", "value": ["CAT"]}]}
    requirements = Requirements(schema)
    requirements.check_input(pd.DataFrame({"text": PROSE}), is_fit=True)
    requirements.check_input(pd.DataFrame({"text": ["hello"]}))
    requirements.check_input(pd.DataFrame({"text": pd.Series([np.nan], dtype=pd.Series(["a"]).dtype)}))
    with pytest.raises(TaskError, match="text in the column 'text'"):
        requirements.check_input(pd.DataFrame({"text": ["hello"] * 3}), is_fit=True)


@pytest.mark.parametrize(
    ("condition", "count", "is_met"),
    [
        ("EQUALS", 2, True),
        ("EQUALS", 3, False),
        ("IN", [1, 2], True),
        ("NOT_EQUALS", 2, False),
        ("GREATER_THAN", 1, True),
        ("GREATER_THAN", 2, False),
        ("LESS_THAN", 2, False),
        ("NOT_GREATER_THAN", 2, True),
        ("NOT_LESS_THAN", 3, False),
    ],
)
def test_the_number_of_columns(condition: str, count: Any, is_met: bool) -> None:
    entry = {"field": "number_of_columns", "condition": condition, "value": count}
    requirements = Requirements({"input_requirements": [entry]})
    frame = pd.DataFrame({"a": [1], "b": [2]})
    if is_met:
        requirements.check_input(frame)
        return
    with pytest.raises(TaskError, match="given 2 columns"):
        requirements.check_input(frame)


@pytest.mark.parametrize(
    ("is_given", "is_returned", "word", "is_met"),
    [
        (True, True, "IDENTITY", True),
        (True, False, "IDENTITY", False),
        (False, True, "IDENTITY", False),
        (False, True, "DYNAMIC", True),
        (False, True, "NEVER", False),
        (False, True, "ALWAYS", True),
    ],
)
def test_sparse_output(is_given: bool, is_returned: bool, word: str, is_met: bool) -> None:
    values = {True: Sparse(csr_matrix(np.eye(2)), ["a", "b"]), False: pd.DataFrame(np.eye(2))}
    requirements = Requirements({"output_requirements": [{"field": "sparse", "condition": "EQUALS", "value": word}]})
    if is_met:
        requirements.check_output(values[is_returned], values[is_given])
        return
    with pytest.raises(TaskError, match="transform returned"):
        requirements.check_output(values[is_returned], values[is_given])


def test_a_sparse_frame_is_taken_as_a_matrix_and_given_as_a_frame() -> None:
    matrix = csr_matrix(np.array([[0, 1.5], [2, 0]]))
    frame = pd.DataFrame.sparse.from_spmatrix(matrix, columns=["a", "b"])  # type: ignore[attr-defined]
    value = taken(frame, 2)
    assert isinstance(value, Sparse)
    assert value.names == ["a", "b"]
    assert (value.matrix != matrix).nnz == 0
    pd.testing.assert_frame_equal(given(value, as_matrix=False), frame)
    given(value, as_matrix=True).data[:] = 9
    assert (value.matrix != matrix).nnz == 0
    mixed = taken(frame.assign(c=["x", "y"]), 2)
    assert isinstance(mixed, pd.DataFrame)
    assert not any(isinstance(kind, pd.SparseDtype) for kind in mixed.dtypes)


def test_results_without_names_get_some() -> None:
    array = taken(np.eye(2), 2)
    assert isinstance(array, pd.DataFrame)
    assert list(array.columns) == ["0", "1"]
    assert list(taken(np.eye(2), 2, ["a", "b"]).columns) == ["a", "b"]  # type: ignore[union-attr]
    numbered = taken(pd.DataFrame(np.eye(2), index=[5, 7]), 2)
    assert isinstance(numbered, pd.DataFrame)
    assert list(numbered.columns) == ["0", "1"]
    assert list(numbered.index) == [0, 1]


VALUES = {
    "numbers": pd.DataFrame(np.arange(2400.0).reshape(800, 3), columns=["a", "b", "c"]),
    "few numbers": pd.DataFrame({"a": [1, 2]}),
    "half numbers": pd.DataFrame({"a": np.array([1, 2], dtype=np.float16)}),
    "mixed": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [True, False], "d": pd.Categorical(["u", "v"])}),
    "sparse": Sparse(csr_matrix(np.eye(900)), [str(place) for place in range(900)]),
    "empty sparse": Sparse(csr_matrix((3, 2)), ["a", "b"]),
}


@pytest.mark.parametrize("case", VALUES)
def test_values_are_kept_as_they_are(tmp_path: Path, case: str) -> None:
    value = VALUES[case]
    save_value(tmp_path / "value", value)
    loaded = load_value(tmp_path / "value")
    if isinstance(value, Sparse):
        assert isinstance(loaded, Sparse)
        assert loaded.names == value.names
        assert loaded.matrix.shape == value.matrix.shape
        assert (loaded.matrix != value.matrix).nnz == 0
        return
    assert isinstance(loaded, pd.DataFrame)
    pd.testing.assert_frame_equal(loaded, value)
    loaded.iloc[0, 0] = 77
    pd.testing.assert_frame_equal(load_value(tmp_path / "value"), value)  # type: ignore[arg-type]


def test_parts_of_values() -> None:
    frame = pd.DataFrame({"a": range(5)})
    assert part(frame, 0, 5) is frame
    second = part(frame, 2, 9)
    assert isinstance(second, pd.DataFrame)
    assert second["a"].tolist() == [2, 3, 4]
    assert list(second.index) == [0, 1, 2]
    rows = part(Sparse(csr_matrix(np.eye(5)), list("abcde")), 1, 3)
    assert isinstance(rows, Sparse)
    assert rows.matrix.toarray().tolist() == np.eye(5)[1:3].tolist()


def test_many_classes_are_scored_in_small_blocks() -> None:
    assert block_rows(Target(TargetType.REGRESSION)) == MOST_ROWS
    labels = tuple(str(label) for label in range(10_000))
    assert block_rows(Target(TargetType.MULTICLASS, "", labels)) == MOST_CELLS // 10_000


def test_calibrated_scores_keep_their_order(tmp_path: Path) -> None:
    scores = np.random.default_rng(4).exponential(size=5_000) * 1e6
    Calibration.of(scores).save(tmp_path)
    calibration = Calibration.load(tmp_path)
    mapped = calibration.apply(np.sort(scores))
    assert (np.diff(mapped) >= 0).all()
    assert mapped == pytest.approx(np.linspace(0, 1, 5_000), abs=0.002)
    assert calibration.apply([-1.0, 1e12]).tolist() == [0.0, 1.0]


def test_scores_that_are_often_the_same() -> None:
    """The share of the rows that score lower, of all others, at both ends as between."""
    for counts in ((60, 40), (30, 1, 69), (1, 98, 1), (50, 50), (2, 0, 98)):
        scores = np.repeat(np.arange(len(counts), dtype=float), counts)
        calibration = Calibration.of(scores)
        for score in np.unique(scores):
            share = float((scores < score).sum()) / (len(scores) - 1)
            assert calibration.apply([score])[0] == pytest.approx(share, abs=0.001), (counts, score)
        assert calibration.apply([scores[0], scores[-1] + 1]).tolist() == [0, 1]
        mapped = calibration.apply(np.linspace(-1, 3, 401))
        assert (np.diff(mapped) >= 0).all()
    assert Calibration.of(np.array([3.0] * 9)).apply([2.0, 3.0, 4.0]).tolist() == [0, 0, 1]
