"""The code of one task: fitted with `fit` or the class `CustomTask`, then called on rows.

Source of the hooks: contract/supporting-endpoints.md C.2 and C.8. A task's `load_model` is given the folder of its
artifacts, since what `fit` wrote is there; its code lies beside `__file__`.
"""

import inspect
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from modelyard_runner.models.artifacts import load_artifact
from modelyard_runner.models.hooks import Hooks, accepted_keywords, hooks_of, import_custom
from modelyard_runner.models.predictors import EstimatorPredictor
from modelyard_runner.models.structured import StructuredModel
from modelyard_runner.problems import listing
from modelyard_runner.target import Target, TargetType
from modelyard_runner.tasks.faults import TaskError, call_task
from modelyard_runner.tasks.schema import Requirements
from modelyard_runner.tasks.scope import Scope
from modelyard_runner.tasks.specification import TaskSpecification
from modelyard_runner.tasks.values import Value, given, row_count, taken
from modelyard_runner.wire.outputs import Predictions

CLASS_NAME = "CustomTask"
PICKLE_NAME = "custom_task.pkl"


class TaskCode:
    """The imported code of a task. Raises TaskError when it cannot be imported or has nothing to fit."""

    def __init__(self, specification: TaskSpecification, target: Target) -> None:
        self.specification = specification
        self.target = target
        self.requirements = Requirements(specification.type_schema)
        self.scope = Scope(specification.code)
        with self.scope.entered():
            module = call_task(import_custom, specification.code)
            if module is None:
                raise TaskError("the task has no custom.py with a fit hook")
            self.hooks: Hooks = call_task(hooks_of, module)
            self._class = getattr(module, CLASS_NAME, None)
            self._fit = getattr(module, "fit", None)
            if self._class is None and not callable(self._fit):
                raise TaskError(f"custom.py has neither a function fit nor a class {CLASS_NAME}")
            if self._class is not None and not callable(getattr(self._class, "fit", None)):
                raise TaskError(f"the class {CLASS_NAME} has no method fit")
            if self.hooks.init is not None:
                call_task(self.hooks.init, code_dir=str(specification.code))

    def fit(self, value: Value, y: Any, output_dir: Path, class_order: list[Any] | None, row_weights: Any) -> None:
        """Fit the task; what it leaves is in `output_dir`, which exists.

        `class_order` and `row_weights` are None where the task has none: `**kwargs` are then given neither. Raises
        TaskError.
        """
        self.requirements.check_input(value, is_fit=True)
        frame = self._given(value)
        offered = {"y": y, "output_dir": str(output_dir), "parameters": dict(self.specification.parameters)}
        special = {"class_order": class_order, "row_weights": row_weights}
        offered |= {name: content for name, content in special.items() if content is not None}
        with self.scope.entered():
            if self._class is None:
                call_task(_fit_with, self._fit, frame, offered)
            else:
                task = call_task(self._class)
                call_task(_fit_with, task.fit, frame, offered)
                call_task(_save, task, output_dir)
        _check_files(output_dir)

    def load(self, artifacts: Path) -> "FittedTask":
        """The fitted task of a folder that `fit` filled. Raises TaskError."""
        with self.scope.entered():
            if self._class is not None:
                model = call_task(_load_instance, self._class, artifacts)
            elif self.hooks.load_model is not None:
                model = call_task(self.hooks.load_model, str(artifacts))
                if model is None:
                    raise TaskError("load_model returned None; it has to return what fit made")
            else:
                model = call_task(load_artifact, artifacts, required=False)
                if model is None:
                    raise TaskError(_nothing_found(artifacts))
            return FittedTask(self, model)

    def _given(self, value: Value) -> Any:
        return given(value, as_matrix=self.requirements.requires_sparse)

    @property
    def is_class(self) -> bool:
        """Whether the task is a class, not functions."""
        return self._class is not None


class FittedTask:
    """A task that can be called. Raises TaskError when what was fitted cannot do what the task is for."""

    def __init__(self, code: TaskCode, model: Any) -> None:
        self._code = code
        self._model = model
        if code.specification.is_transform:
            self._call, self._names = _transform_of(code, model)
        else:
            self._estimator: StructuredModel = call_task(
                StructuredModel, _scoring_hooks(code, model), model, code.target
            )

    def transform(self, value: Value) -> Value:
        """What a transform makes of some rows, checked. Raises TaskError."""
        code = self._code
        code.requirements.check_input(value)
        with code.scope.entered():
            result = call_task(self._call, code._given(value))  # noqa: SLF001  two halves of one thing
            output = call_task(taken, result, row_count(value), self._names())
        code.requirements.check_output(output, value)
        return output

    def predict(self, value: Value) -> Predictions:
        """The predictions of an estimator, checked. Raises TaskError."""
        code = self._code
        code.requirements.check_input(value)
        with code.scope.entered():
            return call_task(self._estimator.predict, code._given(value))  # noqa: SLF001


def _fit_with(fit: Callable[..., Any], frame: Any, offered: dict[str, Any]) -> None:
    keywords = accepted_keywords(fit, offered)
    for parameter in inspect.signature(fit).parameters.values():
        if parameter.name in {"class_order", "row_weights"} and parameter.default is parameter.empty:
            keywords.setdefault(parameter.name, None)
    fit(frame, **keywords)


def _save(task: Any, output_dir: Path) -> None:
    if callable(getattr(task, "save", None)):
        task.save(str(output_dir))
        return
    with (output_dir / PICKLE_NAME).open("wb") as file:
        pickle.dump(task, file, protocol=pickle.HIGHEST_PROTOCOL)


def _load_instance(kind: Any, artifacts: Path) -> Any:
    if not callable(getattr(kind, "load", None)):
        path = artifacts / PICKLE_NAME
        if not path.is_file():
            raise TaskError(f"the class {CLASS_NAME} has a method save but none that loads: add load")
        with path.open("rb") as file:
            return pickle.load(file)  # noqa: S301  the task's own
    if isinstance(inspect.getattr_static(kind, "load"), classmethod | staticmethod):
        task = kind.load(str(artifacts))
        if task is None:
            raise TaskError(f"{CLASS_NAME}.load returned None; it has to return the task")
        return task
    task = kind()
    loaded = task.load(str(artifacts))
    return task if loaded is None else loaded


def _check_files(output_dir: Path) -> None:
    """Refuse what cannot be kept as files. Raises TaskError."""
    if not output_dir.is_dir():
        raise TaskError("fit removed its output_dir")
    for path in output_dir.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            name = path.relative_to(output_dir).as_posix()
            raise TaskError(f"fit left {name!r} in output_dir, which is neither a file nor a folder")


def _nothing_found(artifacts: Path) -> str:
    names = sorted(path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file())
    if not names:
        return "fit left nothing in output_dir, and custom.py has no load_model"
    return f"fit left {listing(names)} in output_dir, of no known kind: custom.py needs load_model"


def _transform_of(code: TaskCode, model: Any) -> tuple[Callable[[Any], Any], Callable[[], list[str] | None]]:
    """How a transform is called, and how its columns are called where its result has no names."""
    if code.is_class:
        if not callable(getattr(model, "transform", None)):
            raise TaskError(f"the class {CLASS_NAME} has no method transform")
        return model.transform, lambda: None
    hook = code.hooks.transform
    if hook is not None:
        return lambda frame: hook(frame, model), lambda: None
    predictor = call_task(EstimatorPredictor, model, Target(TargetType.TRANSFORM))
    return predictor.result, predictor.column_names


def _scoring_hooks(code: TaskCode, model: Any) -> Hooks:
    """The hooks of an estimator's scoring: those of custom.py, or one that calls the method of its class."""
    if not code.is_class:
        hooks = code.hooks
        return Hooks(transform=hooks.transform, score=hooks.score, post_process=hooks.post_process)
    method = "predict_proba" if code.target.is_classification else "predict"
    predict = getattr(model, method, None)
    if not callable(predict):
        raise TaskError(f"the class {CLASS_NAME} has no method {method}, which a {code.target.kind} task needs")

    def score(data: pd.DataFrame, _model: Any, **kwargs: Any) -> Any:
        return predict(data, **accepted_keywords(predict, kwargs))

    return Hooks(score=score)
