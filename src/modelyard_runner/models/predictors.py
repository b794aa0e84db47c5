"""Prediction with a model object for which `custom.py` has no score hook: one class per kind of library.

Imported only when a structured model is loaded: it needs numpy and pandas, which belong to the model's environment.
"""

import importlib
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd

from modelyard_runner.problems import LoadError, Refusal, listing
from modelyard_runner.target import Target, TargetType, label_text
from modelyard_runner.wire.outputs import Output


class Predictor(Protocol):
    """Predicts the rows of a frame."""

    labels: tuple[str, ...]
    """The class labels that the model itself knows, in its order; empty if it knows none."""

    def predict(self, frame: pd.DataFrame) -> Output:
        """The model's output for a frame, not yet checked."""


def predictor_of(model: Any, target: Target) -> Predictor:
    """The predictor for a model object. Raises LoadError when the object cannot predict the target."""
    module = type(model).__module__.partition(".")[0]
    name = type(model).__name__
    if module == "xgboost" and name == "Booster":
        return BoosterPredictor(model, model.feature_names, importlib.import_module("xgboost").DMatrix)
    if module == "lightgbm" and name == "Booster":
        return BoosterPredictor(model, model.feature_name(), None)
    if module == "onnxruntime":
        return OnnxPredictor(model, target)
    if any(kind.__module__.partition(".")[0] == "torch" for kind in type(model).__mro__):
        return TorchPredictor(model, importlib.import_module("torch"))
    return EstimatorPredictor(model, target)


class Features:
    """The columns a model was trained on, by which a frame is put in order."""

    def __init__(self, names: Any) -> None:
        self._names = pd.Index([str(name) for name in names]) if names is not None else None

    def of(self, frame: Any) -> Any:
        """The frame with the model's columns only, in its order; a sparse matrix as it is.

        Raises Refusal 422 naming missing columns.
        """
        names = self._names
        if names is None or is_sparse(frame) or frame.columns.equals(names):
            return frame
        missing = [name for name in names if name not in frame.columns]
        if missing:
            raise Refusal(422, f"The data lacks the columns {listing(missing)}, which the model needs.")
        return frame[list(names)]


class EstimatorPredictor:
    """Anything with scikit-learn's methods: `predict_proba`, `predict`, or `transform` for a transform target."""

    def __init__(self, model: Any, target: Target) -> None:
        methods = {TargetType.BINARY: "predict_proba", TargetType.MULTICLASS: "predict_proba"}
        method = methods.get(target.kind, "transform" if target.kind is TargetType.TRANSFORM else "predict")
        call = getattr(model, method, None)
        if not callable(call):
            raise LoadError(
                f"The model is a {type(model).__module__}.{type(model).__name__}, which has no method {method}; a "
                f"{target.kind} model needs it, or a score hook in custom.py."
            )
        self._call: Callable[[Any], Any] = call
        self._model = model
        self._is_transform = target.kind is TargetType.TRANSFORM
        trained_on = getattr(model, "feature_names_in_", None)
        self._features = Features(trained_on)
        self._takes_array = trained_on is None and hasattr(model, "n_features_in_")
        classes = getattr(model, "classes_", None) if target.is_classification else None
        self.labels = tuple(label_text(label) for label in np.asarray(classes).tolist()) if classes is not None else ()
        self._columns: list[Any] | None = list(self.labels) or None

    def predict(self, frame: Any) -> Output:
        output = output_of(self.result(frame))
        if self._columns is not None:
            output.columns = self._columns
        elif self._is_transform and output.columns is None:
            output.columns = self.column_names()
        elif not self._is_transform:
            output.columns = None
        return output

    def result(self, frame: Any) -> Any:
        """What the model's method returns for a frame or a sparse matrix, as it is."""
        frame = self._features.of(frame)
        return self._call(_array(frame) if self._takes_array else frame)

    def column_names(self) -> list[str] | None:
        """The names that a transformer itself gives to its columns; None where it knows none."""
        if not hasattr(self._model, "get_feature_names_out"):
            return None
        return [str(name) for name in self._model.get_feature_names_out()]


def is_sparse(data: Any) -> bool:
    """Whether something is a sparse matrix of scipy, which need not be installed."""
    return hasattr(data, "tocsr")


def has_sparse_columns(frame: pd.DataFrame) -> bool:
    """Whether every column of a frame is of pandas' sparse type."""
    return len(frame.columns) > 0 and all(isinstance(kind, pd.SparseDtype) for kind in frame.dtypes)


def _array(frame: Any) -> Any:
    """The values of a frame without its names, sparse where every column is; a sparse matrix as it is."""
    if is_sparse(frame):
        return frame
    if has_sparse_columns(frame):
        return frame.sparse.to_coo().tocsr()
    return frame.to_numpy()


class BoosterPredictor:
    """A raw XGBoost or LightGBM booster; classes are in the order of the target's labels (negative, positive)."""

    labels: tuple[str, ...] = ()

    def __init__(self, model: Any, feature_names: Any, matrix: Callable[[Any], Any] | None) -> None:
        self._model = model
        self._features = Features(feature_names)
        self._matrix = matrix

    def predict(self, frame: pd.DataFrame) -> Output:
        frame = self._features.of(frame)
        return output_of(self._model.predict(frame if self._matrix is None else self._matrix(frame)))


class OnnxPredictor:
    """An ONNX session with one matrix as its input, or one input per column."""

    labels: tuple[str, ...] = ()
    _TYPES = {  # noqa: RUF012  a table, never changed
        "tensor(float)": np.float32,
        "tensor(double)": np.float64,
        "tensor(int64)": np.int64,
        "tensor(int32)": np.int32,
        "tensor(bool)": np.bool_,
        "tensor(string)": np.object_,
    }

    def __init__(self, session: Any, target: Target) -> None:
        self._session = session
        self._inputs = session.get_inputs()
        unknown = [entry.type for entry in self._inputs if entry.type not in self._TYPES]
        if unknown:
            raise LoadError(f"The ONNX model takes inputs of the types {listing(unknown)}, which are not supported.")
        outputs = [entry.name for entry in session.get_outputs()]
        self._output = outputs[-1] if target.is_classification else outputs[0]
        self._features = Features(None if len(self._inputs) == 1 else [entry.name for entry in self._inputs])

    def predict(self, frame: pd.DataFrame) -> Output:
        frame = self._features.of(frame)
        if len(self._inputs) == 1:
            entry = self._inputs[0]
            feed = {entry.name: np.ascontiguousarray(frame.to_numpy(dtype=self._TYPES[entry.type]))}
        else:
            feed = {
                entry.name: frame[entry.name].to_numpy(dtype=self._TYPES[entry.type]).reshape(-1, 1)
                for entry in self._inputs
            }
        result = self._session.run([self._output], feed)[0]
        if isinstance(result, list) and result and isinstance(result[0], dict):
            columns = list(result[0])
            return Output([[float(row[column]) for column in columns] for row in result], columns)
        return output_of(result)


class TorchPredictor:
    """A PyTorch module that takes one float matrix."""

    labels: tuple[str, ...] = ()

    def __init__(self, model: Any, torch: Any) -> None:
        self._model = model
        self._torch = torch

    def predict(self, frame: pd.DataFrame) -> Output:
        with self._torch.inference_mode():
            result = self._model(self._torch.from_numpy(frame.to_numpy(dtype=np.float32)))
        return output_of(result.detach().cpu().numpy())


def output_of(result: Any) -> Output:
    """What a model or a hook returned, as rows: DataFrame, Series, array, sparse matrix or list.

    Raises Refusal 422 for anything that is not a table.
    """
    if isinstance(result, pd.DataFrame):
        return Output(result.to_numpy().tolist(), result.columns.tolist())
    if isinstance(result, pd.Series):
        return Output([[value] for value in result.tolist()])
    if hasattr(result, "toarray"):
        result = result.toarray()
    if isinstance(result, str | bytes | dict) or result is None or np.ndim(result) == 0:
        raise Refusal(422, f"The model returned a {type(result).__name__}; it has to return a DataFrame.")
    array = np.asarray(result)
    if array.ndim == 1:
        return Output([[value] for value in array.tolist()])
    if array.ndim == 2:
        return Output(array.tolist())
    raise Refusal(
        422, f"The model returned an array of {array.ndim} dimensions; it has to return one row per input row."
    )
