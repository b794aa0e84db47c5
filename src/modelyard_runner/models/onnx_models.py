"""ONNX sessions: their inputs as the graph declares them, and the classes of their probabilities."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.models.cell_values import boolean_column, float_column, float_matrix, integer_column, text_column
from modelyard_runner.models.class_order import library_order, report_order, unlabelled_order
from modelyard_runner.models.features import FeatureColumns
from modelyard_runner.models.model_output import output_of
from modelyard_runner.models.onnx_graph import class_labels
from modelyard_runner.problems import LoadError, listing
from modelyard_runner.target import Target, TargetType, label_text, match_labels, sorted_labels
from modelyard_runner.wire.outputs import Output

FLOATS: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(double)": np.float64}
INTEGERS: dict[str, type[np.signedinteger[Any]]] = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
}
BOOLEAN, TEXT = "tensor(bool)", "tensor(string)"
PROBE_ROWS = 16
_CERTAIN = 0.6


class OnnxPredictor:
    """An ONNX session with one matrix as its input, or one input per column."""

    def __init__(self, session: Any, target: Target, *, is_final: bool = True) -> None:
        self.labels: tuple[str, ...] = ()
        self._session = session
        self._inputs = session.get_inputs()
        _check_inputs(self._inputs)
        self._features = _features_of(self._inputs)
        outputs = session.get_outputs()
        chosen = _probabilities_of(outputs) if target.is_classification else outputs[0]
        self._output = chosen.name
        self._columns: list[str] | None = None
        if target.is_classification and not chosen.type.startswith("seq("):
            self._name_columns(target, chosen, outputs, is_final=is_final)
        elif (
            is_final and target.kind in {TargetType.REGRESSION, TargetType.ANOMALY} and _width(chosen) not in {None, 1}
        ):
            raise LoadError(
                f"The output {chosen.name!r} has {_width(chosen)} values for each row; a {target.kind} model gives "
                "one. Change the target type, or choose one with a score hook in custom.py."
            )

    def predict(self, frame: pd.DataFrame) -> Output:
        """The session's output for a frame, not yet checked."""
        result = self._session.run([self._output], self._feed(self._features.select(frame)))[0]
        if isinstance(result, list) and result and isinstance(result[0], dict):
            names = list(result[0])
            return Output([[float(row[name]) for name in names] for row in result], names)
        columns = self._columns
        if columns is not None and (result.ndim == 1 or result.shape[1] == 1) and len(columns) == 2:
            result = np.column_stack((1 - result.reshape(-1), result.reshape(-1)))
        output = output_of(result)
        output.columns = columns
        return output

    def _feed(self, frame: pd.DataFrame) -> dict[str, Any]:
        if len(self._inputs) == 1:
            entry = self._inputs[0]
            return {entry.name: _matrix(frame, entry.type)}
        return {
            entry.name: _shaped(_column(frame.iloc[:, place], entry.name, entry.type), entry)
            for place, entry in enumerate(self._inputs)
        }

    def _name_columns(self, target: Target, chosen: Any, outputs: list[Any], *, is_final: bool) -> None:
        """Find the classes of nameless columns. Raises LoadError when they cannot be known."""
        labels_output = next((one for one in outputs if one.type == TEXT or one.type in INTEGERS), None)
        probe = _probe(self._session, self._inputs, chosen, labels_output)
        count = _width(chosen) or (probe.probabilities.shape[1] if probe is not None else None)
        count = 2 if count == 1 else count
        known = [labels for labels in class_labels(_path_of(self._session)) if count is None or len(labels) == count]
        try:
            order, reason = _order(target, known, labels_output, probe, count)
        except LoadError:
            if is_final:
                raise
            return
        report_order(order, reason)
        self._columns = list(order)
        self.labels = order


class _Probe:
    """What a session gave for made-up rows: probabilities, and the labels where it has an output of them."""

    def __init__(self, probabilities: Any, labels: list[str]) -> None:
        self.probabilities = probabilities.reshape(len(probabilities), -1)
        self.labels = labels

    def contradicts(self, order: tuple[str, ...]) -> bool:
        """Whether, of the rows that are clear, most have another label than the most probable class of this order."""
        if not self.labels:
            return False
        matrix = self.probabilities
        if matrix.shape[1] == 1:
            matrix = np.column_stack((1 - matrix, matrix))
        forms = match_labels(sorted(set(self.labels)), order)
        if matrix.shape[1] != len(order) or forms is None:
            return True
        clear = [row for row in range(len(matrix)) if matrix[row].max() > _CERTAIN]
        right = sum(order[int(matrix[row].argmax())] == forms[self.labels[row]] for row in clear)
        return 2 * right < len(clear)


def _order(
    target: Target, known: list[tuple[str, ...]], labels_output: Any, probe: _Probe | None, count: int | None
) -> tuple[tuple[str, ...], str]:
    """The classes in the order of the columns, and how it is known. Raises LoadError."""
    labels = target.labels or (known[0] if known else ())
    matching = [(matched, each) for each in known if (matched := match_labels(each, labels)) is not None]
    orders = {tuple(matched[name] for name in each) for matched, each in matching if len(each) == len(labels)}
    if len(orders) == 1:
        return orders.pop(), "as the graph's class labels"
    if labels_output is None:
        return unlabelled_order(target, "The ONNX model"), "without labels in the graph"
    as_texts = labels_output.type == TEXT
    order = library_order(target, count or len(target.labels) or 2, as_texts=as_texts)
    if probe is not None and probe.contradicts(order):
        found = sorted_labels(list(set(probe.labels)))
        raise LoadError(
            f"The ONNX model's own labels ({listing(list(found))}) contradict the class labels that are set, sorted "
            f"{listing(list(order))}. Set the labels that it was trained on, or name its outputs with a score hook in "
            "custom.py."
        )
    return order, "sorted; the graph's label output agrees" if probe is not None else "sorted"


def _check_inputs(inputs: list[Any]) -> None:
    known = {*FLOATS, *INTEGERS, BOOLEAN, TEXT}
    unknown = [entry.type for entry in inputs if entry.type not in known]
    if unknown:
        raise LoadError(f"The ONNX model takes inputs of the types {listing(unknown)}, which are not supported.")
    wide = [entry.name for entry in inputs if len(inputs) > 1 and (_width(entry) or 1) > 1]
    if wide:
        raise LoadError(
            f"The ONNX model has several inputs, and {listing(wide)} take several columns each: which ones is not in "
            "the graph. Make the inputs in a score hook in custom.py, or export one input for each column."
        )


def _features_of(inputs: list[Any]) -> FeatureColumns:
    if len(inputs) > 1:
        return FeatureColumns([entry.name for entry in inputs])
    width = _width(inputs[0])
    if width == 1:
        return FeatureColumns([inputs[0].name], 1, is_positional=True)
    return FeatureColumns(None, width)


def _width(entry: Any) -> int | None:
    """How many values for a row an input or output has, None where the graph leaves it open."""
    shape = entry.shape
    if shape is None or len(shape) != 2:
        return 1 if shape is not None and len(shape) == 1 else None
    return shape[1] if isinstance(shape[1], int) else None


def _probabilities_of(outputs: list[Any]) -> Any:
    named = [one for one in outputs if one.type.startswith("seq(map(")]
    numbers = [one for one in outputs if one.type in FLOATS]
    if not named and not numbers:
        raise LoadError(
            f"The ONNX model has no output of probabilities, only {listing([one.name for one in outputs])}: export it "
            "with its probabilities."
        )
    return (named or numbers)[-1]


def _path_of(session: Any) -> Path:
    return Path(getattr(session, "_model_path", None) or "")


def _matrix(frame: pd.DataFrame, kind: str) -> Any:
    if kind in FLOATS:
        return np.ascontiguousarray(float_matrix(frame), dtype=FLOATS[kind])
    columns = [_column(frame.iloc[:, place], str(name), kind) for place, name in enumerate(frame.columns)]
    return np.column_stack(columns)


def _column(column: "pd.Series[Any]", name: str, kind: str) -> Any:
    if kind in FLOATS:
        return float_column(column, name).astype(FLOATS[kind])
    if kind in INTEGERS:
        return integer_column(column, name, INTEGERS[kind])
    return boolean_column(column, name) if kind == BOOLEAN else text_column(column, name)


def _shaped(values: Any, entry: Any) -> Any:
    return values if entry.shape is not None and len(entry.shape) == 1 else values.reshape(-1, 1)


def _probe(session: Any, inputs: list[Any], chosen: Any, labels_output: Any) -> _Probe | None:
    """What the session gives for made-up rows; None where it takes none of them."""
    random = np.random.default_rng(0)
    scale = np.geomspace(0.1, 1000, PROBE_ROWS).reshape(-1, 1)
    feed: dict[str, Any] = {}
    for entry in inputs:
        width = _width(entry)
        if width is None:
            return None
        if entry.type == TEXT:
            values: Any = np.full((PROBE_ROWS, width), "", dtype=object)
        else:
            kind = {**FLOATS, **INTEGERS}.get(entry.type, np.bool_)
            values = np.clip(random.normal(size=(PROBE_ROWS, width)) * scale, -100, 3000).astype(kind)
        feed[entry.name] = values if len(entry.shape) == 2 else values.reshape(-1)
    names = [chosen.name, *([labels_output.name] if labels_output is not None else [])]
    try:
        found = session.run(names, feed)
    except Exception:  # noqa: BLE001  made-up rows need not be valid ones
        return None
    labels = [label_text(label) for label in np.asarray(found[1]).reshape(-1).tolist()] if len(found) > 1 else []
    return _Probe(np.asarray(found[0]), labels if len(labels) == PROBE_ROWS else [])
