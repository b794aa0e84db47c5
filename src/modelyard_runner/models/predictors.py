"""Prediction with a model object for which `custom.py` has no score hook: one class per kind of library.

Imported only when a structured model is loaded: it needs numpy and pandas, which belong to the model's environment.
"""

import importlib
import math
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd

from modelyard_runner.models.boosters import (
    XGBOOST_UNSEEN,
    LightGBMPredictor,
    XGBoostPredictor,
    coded_matrix,
    lightgbm_categories,
    lightgbm_features,
    xgboost_categories,
)
from modelyard_runner.models.cell_values import Categories, float_matrix
from modelyard_runner.models.class_order import unlabelled_order
from modelyard_runner.models.features import FeatureColumns, is_sparse
from modelyard_runner.models.fitted_input import FittedInput, InputForm
from modelyard_runner.models.model_output import output_of
from modelyard_runner.models.onnx_models import OnnxPredictor
from modelyard_runner.problems import LoadError
from modelyard_runner.target import Target, TargetType, label_text, match_labels
from modelyard_runner.wire.outputs import Output

__all__ = ["EstimatorPredictor", "Predictor", "has_sparse_columns", "is_sparse", "output_of", "predictor_of"]


class Predictor(Protocol):
    """Predicts the rows of a frame."""

    labels: tuple[str, ...]
    """The class labels that the model itself knows, in its order; empty if it knows none."""

    def predict(self, frame: pd.DataFrame) -> Output:
        """The model's output for a frame, not yet checked."""


def predictor_of(model: Any, target: Target, *, is_final: bool = True, is_prepared: bool = False) -> Predictor:
    """The predictor for a model object.

    `is_final`: no hook changes its output afterwards, so that what can never be an answer is an error at once.
    `is_prepared`: a hook makes its input. Raises LoadError when the object cannot predict the target.
    """
    module = type(model).__module__.partition(".")[0]
    name = type(model).__name__
    if module == "xgboost" and name == "Booster":
        return XGBoostPredictor(model, target, is_final=is_final, is_prepared=is_prepared)
    if module == "lightgbm" and name == "Booster":
        return LightGBMPredictor(model, target, is_final=is_final, is_prepared=is_prepared)
    if module == "onnxruntime":
        return OnnxPredictor(model, target, is_final=is_final)
    if any(kind.__module__.partition(".")[0] == "torch" for kind in type(model).__mro__):
        return TorchPredictor(model, importlib.import_module("torch"), target, is_final=is_final)
    return EstimatorPredictor(model, target, is_final=is_final, is_prepared=is_prepared)


class EstimatorPredictor:
    """Anything with scikit-learn's methods: `predict_proba`, `predict`, or `transform` for a transform target."""

    def __init__(self, model: Any, target: Target, *, is_final: bool = True, is_prepared: bool = False) -> None:
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
        self._kind = target.kind
        self._input = FittedInput(model, method, is_prepared=is_prepared)
        trained_on, count = getattr(model, "feature_names_in_", None), getattr(model, "n_features_in_", None)
        self._takes_array = trained_on is None and count is not None
        self._features = FeatureColumns(trained_on, None if count is None else int(count))
        self._categories: dict[int, Categories] = {}
        self._is_lightgbm = False
        self._read_booster(is_prepared=is_prepared)
        self.labels: tuple[str, ...] = _classes_of(model) if target.is_classification else ()
        self._columns: list[Any] | None = None
        if self.labels:
            matched = match_labels(self.labels, target.labels) or {}
            self._columns = [matched.get(label, label) for label in self.labels]
        elif target.is_classification and is_final and _is_trained_by_library(model):
            self._columns = list(unlabelled_order(target, f"The {type(model).__name__}")) or None
        if is_final and target.kind in {TargetType.REGRESSION, TargetType.ANOMALY}:
            self._check_width(target)

    def predict(self, frame: Any) -> Output:
        output = output_of(self.result(frame), self._kind)
        if self._columns is not None:
            output.columns = self._columns
        elif self._is_transform and output.columns is None:
            output.columns = self.column_names()
        elif not self._is_transform:
            output.columns = None
        return output

    def result(self, frame: Any) -> Any:
        """What the model's method returns for a frame or a sparse matrix, as it is."""
        if is_sparse(frame):
            return self._call(frame)
        if self._input.form is not InputForm.TABLE:
            return self._call(self._input.of(frame))
        frame = self._features.select(frame)
        if self._categories:
            return self._call(self._with_codes(frame))
        return self._call(_array(frame) if self._takes_array else frame)

    def _read_booster(self, *, is_prepared: bool) -> None:
        """Take the columns and categories of an estimator of LightGBM or XGBoost from its booster."""
        model = self._model
        modules = {kind.__module__.partition(".")[0] for kind in type(model).__mro__}
        if "lightgbm" in modules and hasattr(model, "booster_"):
            self._is_lightgbm = True
            self._features = lightgbm_features(model.booster_)
            self._takes_array = False
            self._categories = lightgbm_categories(model.booster_, is_prepared=is_prepared)
        elif "xgboost" in modules and hasattr(model, "get_booster"):
            self._categories = xgboost_categories(model.get_booster(), is_prepared=is_prepared)

    def _with_codes(self, frame: pd.DataFrame) -> Any:
        """The frame with its categories as the booster knows them: XGBoost takes codes, LightGBM a type of pandas."""
        if not self._is_lightgbm:
            return coded_matrix(frame, self._categories, XGBOOST_UNSEEN)
        names = [str(frame.columns[place]) for place in self._categories]
        kept = frame.set_axis([str(name) for name in frame.columns], axis=1)
        casts = (self._cast(frame.iloc[:, place], known) for place, known in self._categories.items())
        return kept.assign(**dict(zip(names, casts, strict=True)))

    @staticmethod
    def _cast(column: "pd.Series[Any]", categories: Categories) -> Any:
        codes = np.nan_to_num(categories.codes(column, math.nan), nan=-1).astype(int)
        return pd.Categorical.from_codes(codes, categories=pd.Index(categories.values))

    def _check_width(self, target: Target) -> None:
        """Raise LoadError for a model that gives several values for a made-up row, where it takes one."""
        names, count = getattr(self._model, "feature_names_in_", None), getattr(self._model, "n_features_in_", None)
        if count is None or self._input.form is not InputForm.TABLE:
            return
        columns = names if names is not None else range(int(count))
        row = pd.DataFrame(np.zeros((1, int(count))), columns=[str(name) for name in columns])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                shape = np.shape(self.result(row))
        except Exception:  # noqa: BLE001  a made-up row need not be a valid one
            return
        if len(shape) > 1 and shape[1] != 1:
            raise LoadError(
                f"The model gives {shape[1]} values for each row; a {target.kind} model gives one. Train it on one "
                "target, change the target type, or choose one with a score hook in custom.py."
            )

    def column_names(self) -> list[str] | None:
        """The names that a transformer itself gives to its columns; None where it knows none."""
        if not hasattr(self._model, "get_feature_names_out"):
            return None
        return [str(name) for name in self._model.get_feature_names_out()]


def _classes_of(model: Any) -> tuple[str, ...]:
    """The classes a model knows, as texts. Raises LoadError for a model of several targets."""
    classes = getattr(model, "classes_", None)
    if classes is None:
        return ()
    if isinstance(classes, list) and classes and isinstance(classes[0], np.ndarray):
        raise LoadError(
            f"The model predicts {len(classes)} targets at once, each with its classes; choose one with a score hook "
            "in custom.py."
        )
    return tuple(label_text(label) for label in np.asarray(classes).tolist())


def _is_trained_by_library(model: Any) -> bool:
    """Whether a model is an estimator of a library, not of a class that its author wrote."""
    return hasattr(model, "n_features_in_") or hasattr(model, "steps")


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


class TorchPredictor:
    """A PyTorch module that takes one float matrix."""

    def __init__(self, model: Any, torch: Any, target: Target, *, is_final: bool = True) -> None:
        self.labels: tuple[str, ...] = ()
        self._model = model
        self._torch = torch
        self._columns: list[str] | None = None
        if target.is_classification and is_final:
            self._columns = list(unlabelled_order(target, "The PyTorch module")) or None

    def predict(self, frame: pd.DataFrame) -> Output:
        """The module's output for a frame, not yet checked."""
        matrix = float_matrix(frame).astype(np.float32)
        with self._torch.inference_mode():
            result = self._model(self._torch.from_numpy(matrix))
        values = result.detach().cpu().numpy()
        columns = self._columns
        if columns is not None and len(columns) == 2 and (values.ndim == 1 or values.shape[1] == 1):
            values = np.column_stack((1 - values.reshape(-1), values.reshape(-1)))
        output = output_of(values)
        output.columns = columns
        return output
