"""The checks: what each one asks of the model, and when it is content (supporting-endpoints C.10)."""

import math
import random
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from modelyard.datasets.cells import json_cell
from modelyard.models.testing.conversation import Conversation, ModelFailedError, Prediction

CHUNK_ROWS = 10_000
NULL_ROWS = 50
SIDE_EFFECT_ROWS = 50
OTHER_COLUMNS = 20
OTHER_ROWS = 10_000
"""So many columns and further rows are looked through for values of other types."""
PERFORMANCE_ROWS = 1_000
RELATIVE_TOLERANCE = 1e-6
ABSOLUTE_TOLERANCE = 1e-9
SHOWN = 5
PAUSE_S = 0.1


@dataclass(frozen=True)
class Verdict:
    """Whether a check is content, and why."""

    passed: bool
    message: str


@dataclass(frozen=True)
class Bench:
    """What a check works with: the model, the rows to send it (without the target), and a way to be stopped.

    ``checkpoint`` raises when the test was canceled; ``say`` writes to the test's log.
    """

    model: Conversation
    rows: pl.DataFrame
    target_name: str | None
    positive_class_label: str | None
    parameters: dict[str, Any]
    seed: str
    checkpoint: Callable[[], None]
    say: Callable[[str], None]
    verification_rows: pl.DataFrame | None = None
    rows_are_texts: bool = False
    """Whether the rows are the texts of a CSV file, which are numbers in JSON where they are written so."""
    verification_rows_are_texts: bool = False

    def objects(self, table: pl.DataFrame) -> list[dict[str, Any]]:
        """Some of the rows as a client sends them in JSON."""
        return json_objects(table, are_texts=self.rows_are_texts)


def json_objects(table: pl.DataFrame, *, are_texts: bool) -> list[dict[str, Any]]:
    """Rows as a client sends them in JSON, of ``are_texts`` with numbers where the texts are some."""
    rows = table.to_dicts()
    return [{name: json_cell(text) for name, text in row.items()} for row in rows] if are_texts else rows


def error_check(bench: Bench) -> Verdict:
    """Every row of the dataset gets a prediction."""
    total = 0
    for part in _parts(bench.rows, CHUNK_ROWS):
        scored = part.height
        got = _together(bench, [lambda part=part: bench.model.score_csv(part)])[0]  # type: ignore[misc]
        if got != scored:
            return Verdict(False, f"{scored} rows were sent and {got} predictions came back.")
        total += scored
        bench.say(f"{total} of {bench.rows.height} rows scored")
    return Verdict(True, f"All {total} rows were scored.")


def null_value_imputation(bench: Bench) -> Verdict:
    """The model still answers when all values of one feature are missing, one feature after another."""
    sample = bench.rows.head(NULL_ROWS)
    failed: list[str] = []
    first_reason = ""
    for name in sample.columns:
        blank = sample.with_columns(pl.lit(None, dtype=sample.schema[name]).alias(name))
        try:
            _together(bench, [lambda blank=blank: bench.model.score_rows(bench.objects(blank))])  # type: ignore[misc]
        except ModelFailedError as error:
            failed.append(name)
            first_reason = first_reason or str(error)
            bench.say(f"with {name!r} missing: {error}")
    if failed:
        more = f" and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        return Verdict(
            False, f"The model cannot handle missing values in {', '.join(failed[:SHOWN])}{more}: {first_reason}"
        )
    return Verdict(True, f"Missing values are handled in each of {len(sample.columns)} features.")


def side_effects(bench: Bench) -> Verdict:
    """Each row gets the same prediction alone as among others, whatever those are and whatever the order."""
    rows = bench.objects(bench.rows.head(SIDE_EFFECT_ROWS))
    alone = [
        found[0]
        for found in _together(
            bench,
            [lambda row=row: bench.model.score_rows([row]) for row in rows],  # type: ignore[misc]
            users=1,
        )
    ]
    different: set[int] = set()
    for places, others in _company(bench, rows):
        some = [rows[place] for place in places]
        found = _together(bench, [lambda some=some, others=others: bench.model.score_rows(some + others)])[0]  # type: ignore[misc]
        different |= {place for place, one in zip(places, found, strict=False) if not is_same(one, alone[place])}
    if different:
        shown = ", ".join(map(str, sorted(different)[:SHOWN]))
        return Verdict(
            False,
            f"{len(different)} of {len(rows)} rows are predicted differently alone than among others (rows {shown}).",
        )
    return Verdict(
        True, f"{len(rows)} rows are predicted alike alone, together, in reverse order and in mixed company."
    )


def _company(bench: Bench, rows: list[dict[str, Any]]) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """The batches that the rows are sent in: their places, and rows that are sent with them.

    All together and backwards; those with values of the same types, which make columns of one type; and all of them
    beside rows that bring other types into each column, of which those count that the model takes alone.
    """
    places = list(range(len(rows)))
    yield places, []
    yield places[::-1], []
    alike: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(rows):
        alike.setdefault(tuple(type(value).__name__ for value in row.values()), []).append(place)
    if len(alike) > 1:
        for some in alike.values():
            yield some, []
    others = [other for other in _other_types(bench, rows) if _is_taken(bench, other)]
    if others:
        yield places, others


def _other_types(bench: Bench, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with values of other types than the column has in ``rows``: those of the table, a gap and a fraction."""
    found: list[dict[str, Any]] = []
    known = {name: {type(row[name]) for row in rows} for name in list(rows[0])[:OTHER_COLUMNS]}
    more = bench.objects(bench.rows.slice(SIDE_EFFECT_ROWS, OTHER_ROWS))
    for name, types in known.items():
        found += [row for row in more if type(row[name]) not in types][:1]
        if type(None) not in types:
            found.append(rows[0] | {name: None})
        if types == {int}:
            found.append(rows[0] | {name: rows[0][name] + 0.5})
    return found


def _is_taken(bench: Bench, row: dict[str, Any]) -> bool:
    try:
        _together(bench, [lambda: bench.model.score_rows([row])])
    except ModelFailedError:
        return False
    return True


def prediction_verification(bench: Bench) -> Verdict:
    """The predictions of a dataset are those that one of its columns holds."""
    table, column = bench.verification_rows, bench.parameters["predictionsColumn"]
    assert table is not None  # noqa: S101 # the step loaded it
    expected = table[column]
    dropped = [name for name in (column, bench.target_name) if name in table.columns]
    precision = float(bench.parameters["comparisonPrecision"])
    positive = bench.positive_class_label
    matching = 0
    position = 0
    for part in _parts(table.drop(dropped), PERFORMANCE_ROWS):
        rows = json_objects(part, are_texts=bench.verification_rows_are_texts)
        found = _together(bench, [lambda rows=rows: bench.model.score_rows(rows)])[0]  # type: ignore[misc]
        if position == 0 and positive is not None and holds_labels(expected, found[0].by_label):
            positive = None  # the column holds the labels, no probabilities
        for prediction in found:
            matching += matches(prediction, expected[position], precision, positive)
            position += 1
    rate = matching / max(1, position)
    wanted = float(bench.parameters["matchingRate"])
    return Verdict(
        rate >= wanted, f"{matching} of {position} predictions match column {column!r} ({rate:.4g}; {wanted:g} wanted)."
    )


def performance(bench: Bench) -> Verdict:
    """Every request is answered in time, and all of them together, with several users at once."""
    users = int(bench.parameters["numParallelUsers"])
    longest_s, all_s = float(bench.parameters["maxResponseTime"]), float(bench.parameters["maxExecutionTime"])
    times: list[float] = []

    def ask(part: pl.DataFrame) -> None:
        began = time.perf_counter()
        bench.model.score_csv(part)
        times.append(time.perf_counter() - began)

    began = time.perf_counter()
    parts = list(_parts(bench.rows, PERFORMANCE_ROWS))
    _together(bench, [lambda part=part: ask(part) for _ in range(users) for part in parts], users=users)  # type: ignore[misc]
    took = time.perf_counter() - began
    rows = bench.rows.height * users
    summary = (
        f"{rows} rows of {users} parallel users in {took:.3g} s; the longest of {len(times)} requests took "
        f"{max(times):.3g} s"
    )
    if max(times) > longest_s:
        return Verdict(False, f"{summary}, over the limit of {longest_s:g} s.")
    if took > all_s:
        return Verdict(False, f"{summary}; the limit for all of them is {all_s:g} s.")
    return Verdict(True, f"{summary}.")


def stability(bench: Bench) -> Verdict:
    """Of many requests with random numbers of rows enough succeed."""
    chance = random.Random(bench.seed)  # noqa: S311 # repeatable, not secret
    count, users = int(bench.parameters["numPredictions"]), int(bench.parameters["numParallelUsers"])
    sizes = (int(bench.parameters["minPayloadSize"]), int(bench.parameters["maxPayloadSize"]))
    failures: list[str] = []

    def ask(size: int, start: int) -> None:
        numbers = [(start + step) % bench.rows.height for step in range(size)]
        try:
            bench.model.score_csv(bench.rows[numbers])
        except ModelFailedError as error:
            failures.append(str(error))

    asked = [(chance.randint(*sizes), chance.randrange(bench.rows.height)) for _ in range(count)]
    _together(bench, [lambda s=size, b=start: ask(s, b) for size, start in asked], users=users)  # type: ignore[misc]
    rate = (count - len(failures)) / count
    wanted = float(bench.parameters["passingRate"])
    text = f"{count - len(failures)} of {count} requests succeeded ({rate:.4g}; {wanted:g} wanted)"
    return Verdict(rate >= wanted, f"{text}: {failures[0]}" if failures else f"{text}.")


def is_same(one: Prediction, other: Prediction) -> bool:
    """Whether two predictions agree, numbers within a relative tolerance of 1e-6."""
    if one.by_label.keys() != other.by_label.keys():
        return False
    return _is_close(one.value, other.value) and all(
        _is_close(one.by_label[label], other.by_label[label]) for label in one.by_label
    )


def matches(prediction: Prediction, expected: Any, precision: float, positive_class_label: str | None = None) -> bool:
    """Whether a prediction is what a dataset says: a number within ``precision``, or the same label.

    With a ``positive_class_label`` a number is compared with the probability of that class.
    """
    if expected is None:
        return prediction.value is None
    found = prediction.value if positive_class_label is None else prediction.by_label.get(positive_class_label)
    if isinstance(found, int | float) and isinstance(expected, int | float | Decimal):
        return _is_within(float(found), float(expected), precision)
    return str(prediction.value) == str(expected) or _form(prediction.value) == _form(expected)


def holds_labels(column: pl.Series, labels: Collection[str]) -> bool:
    """Whether each value of a column is one of the labels, as the number 1.0 is the label ``1``."""
    forms = {_form(label) for label in labels}
    return len(forms) == len(labels) and all(_form(value) in forms for value in column.drop_nulls().unique().to_list())


def _form(value: Any) -> Any:
    """The one form of what labels and cells may be written as: 1, 1.0 and ``1.0`` are 1, True and ``TRUE`` are true."""
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false"}):
        return str(value).lower()
    if isinstance(value, str):
        value = json_cell(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float) else str(value)


def _is_within(found: float, expected: float, precision: float) -> bool:
    """Whether two numbers differ by ``precision`` at most, as they are written in decimals."""
    rounding = 2 * math.ulp(max(abs(found), abs(expected))) if math.isfinite(found - expected) else 0.0
    return abs(found - expected) <= precision + rounding


def _is_close(one: Any, other: Any) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE)
    return bool(one == other)


def _parts(table: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    return table.iter_slices(rows)


def _together(bench: Bench, jobs: list[Callable[[], Any]], *, users: int = 1) -> list[Any]:
    """Runs jobs on ``users`` threads and returns their results in order, looking out for a cancel meanwhile.

    The first ``ModelFailedError`` ends it.
    """
    pool = ThreadPoolExecutor(users, thread_name_prefix="test-user")
    try:
        futures: list[Future[Any]] = [pool.submit(job) for job in jobs]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=PAUSE_S, return_when=FIRST_COMPLETED)
            bench.checkpoint()
            for future in done:
                future.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
