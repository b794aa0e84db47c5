"""A trained chain as one model: `modelyard-chain.json` in a code folder.

Source of the file's form: the interface between the platform and the runner, docs/decisions/0033.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.models.columns import TEXTS, Kind, Schema, cells_of, json_column
from modelyard_runner.models.frames import schema_names
from modelyard_runner.models.hooks import Hooks
from modelyard_runner.models.structured import TableModel
from modelyard_runner.problems import LoadError, ModelFault, Refusal, listing
from modelyard_runner.target import Target, TargetType
from modelyard_runner.tasks.calibration import Calibration
from modelyard_runner.tasks.code import FittedTask, TaskCode
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.tasks.specification import (
    TaskKind,
    TaskSpecification,
    check_order,
    check_version,
    read_target,
    read_task,
)
from modelyard_runner.tasks.values import Value
from modelyard_runner.wire.outputs import Predictions


@dataclass(frozen=True, slots=True)
class Feature:
    """A column the chain was trained on; `kind` is int64, float64, bool or text.

    Texts that are dates with times, or booleans, have the one `spelling` datetime or bool, others none.
    """

    name: str
    kind: str
    spelling: str | None = None


@dataclass(frozen=True, slots=True)
class ChainSpecification:
    """What the chain file says; `artifacts` has a folder for each task."""

    folder: Path
    target: Target
    features: tuple[Feature, ...]
    tasks: tuple[TaskSpecification, ...]
    artifacts: tuple[Path, ...]
    is_calibrated: bool


def read_chain(path: Path) -> ChainSpecification:
    """Read a chain file. Raises LoadError."""
    folder = path.parent.absolute()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_version(content["version"])
        tasks = tuple(read_task(task, folder) for task in content["tasks"])
        check_order(tasks)
        return ChainSpecification(
            folder=folder,
            target=read_target(content),
            features=tuple(
                Feature(str(one["name"]), str(one["kind"]), one.get("spelling")) for one in content["features"]
            ),
            tasks=tasks,
            artifacts=tuple(folder / task["artifacts"] for task in content["tasks"]),
            is_calibrated=bool(content.get("calibrated", False)),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LoadError(f"{path.name} cannot be read: {type(error).__name__}: {error}.") from error


class Chain:
    """Loaded tasks, called one after the other. Raises TaskError that names the task."""

    def __init__(self, specification: ChainSpecification) -> None:
        self.specification = specification
        self._tasks = [self._load(place) for place in range(len(specification.tasks))]
        self._calibration: Calibration | None = None
        if specification.is_calibrated:
            try:
                self._calibration = Calibration.load(specification.artifacts[-1].parent)
            except (OSError, ValueError, KeyError) as error:
                raise LoadError(f"The calibration of the chain cannot be read: {error}.") from error

    def _load(self, place: int) -> FittedTask:
        specification = self.specification
        task = specification.tasks[place]
        try:
            return TaskCode(task, specification.target).load(specification.artifacts[place])
        except TaskError as error:
            phase = "transform" if task.kind is TaskKind.TRANSFORM else "predict"
            raise TaskError(error.message, place, phase) from error

    def predict(self, frame: pd.DataFrame) -> Predictions:
        """Score the rows of a frame that has the features, among any other columns. Raises Refusal and TaskError."""
        value: Value = typed(frame, self.specification.features)
        place = 0
        try:
            for place, task in enumerate(self._tasks[:-1]):  # noqa: B007  told with the error
                value = task.transform(value)
            place = len(self._tasks) - 1
            predictions = self._tasks[-1].predict(value)
        except TaskError as error:
            phase = "transform" if place < len(self._tasks) - 1 else "predict"
            raise TaskError(error.message, place, phase) from error
        return predictions if self._calibration is None else calibrated(predictions, self._calibration)


def calibrated(predictions: Predictions, calibration: Calibration) -> Predictions:
    """Anomaly scores mapped to values from 0 to 1."""
    scores = calibration.apply([row[0] for row in predictions.rows])
    return Predictions(predictions.columns, [(score,) for score in scores.tolist()])


class ChainModel(TableModel):
    """A chain that is served like any other model."""

    def __init__(self, chain: Chain, target: Target) -> None:
        super().__init__(Hooks(), target, schema_of_features(chain.specification.features))
        self._chain = chain

    def predict(self, frame: Any) -> Predictions:
        try:
            return self._chain.predict(frame)
        except TaskError as error:
            name = self._chain.specification.tasks[error.task or 0].name
            raise ModelFault(f"The task {name!r} failed: {error.message}") from error


def load_chain_model(path: Path, target: Target) -> ChainModel:
    """The model of a chain file, for the target that it is served for. Raises LoadError."""
    specification = read_chain(path)
    served = _served_target(specification.target, target)
    try:
        return ChainModel(Chain(specification), served)
    except TaskError as error:
        name = specification.tasks[error.task or 0].name
        raise LoadError(f"The task {name!r} cannot be loaded: {error.message}") from error


def _served_target(trained: Target, asked: Target) -> Target:
    """The target as it is asked for, with the class labels in the order of the training."""
    if asked.kind is not trained.kind:
        raise LoadError(f"The chain was trained for the target type {trained.kind}, not {asked.kind}.")
    known, labels = trained.labels, asked.labels
    if labels and (set(labels) != set(known) or (trained.kind is TargetType.BINARY and labels != known)):
        raise LoadError(f"The chain was trained for the labels {listing(known)}; those set are {listing(labels)}.")
    return dataclasses.replace(asked, labels=known, name=asked.name or trained.name)


KINDS = {"int64": Kind.NUMBER, "float64": Kind.NUMBER, "bool": Kind.BOOLEAN}
SPELLINGS = {"datetime": Kind.MOMENT, "bool": Kind.TRUTH}


def kind_of(feature: Feature) -> Kind:
    """The kind of a column that a chain was trained on."""
    return KINDS.get(feature.kind) or SPELLINGS.get(feature.spelling or "", Kind.TEXT)


def schema_of_features(features: tuple[Feature, ...]) -> Schema:
    """The kinds of the columns that a chain was trained on."""
    return Schema({feature.name: kind_of(feature) for feature in features})


def typed(frame: pd.DataFrame, features: tuple[Feature, ...]) -> pd.DataFrame:
    """The features of a frame, in order and of the types they had in training.

    Raises Refusal 422 with the columns that are missing, or that hold text where there were numbers.
    """
    schema = schema_of_features(features)
    known = schema_names(list(frame.columns), schema)
    places = {name: place for place, name in enumerate(known)}
    missing = [feature.name for feature in features if feature.name not in places]
    if missing:
        raise Refusal(422, f"The data lacks the columns {listing(missing)}, which the model needs.")
    columns = {feature.name: _typed(frame.iloc[:, places[feature.name]], feature) for feature in features}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)))


def _typed(column: "pd.Series[Any]", feature: Feature) -> Any:
    kind = kind_of(feature)
    if not _is_of(column.dtype, kind):
        column = pd.Series(json_column(cells_of(column), kind))
    if kind in TEXTS:
        return column.array
    if column.dtype.kind not in "bif":
        wrong = next(value for value in column if isinstance(value, str | list | dict))
        raise Refusal(422, f"The column {feature.name!r} has to hold numbers: {wrong!r} is none.")
    is_whole = feature.kind == "float64" and column.dtype.kind != "f"
    return column.to_numpy(dtype=np.float64) if is_whole else column.to_numpy()


def _is_of(found: Any, kind: Kind) -> bool:
    if kind in {Kind.NUMBER, Kind.BOOLEAN}:
        return found.kind in "bif"
    return kind is Kind.TEXT and isinstance(found, pd.StringDtype)
