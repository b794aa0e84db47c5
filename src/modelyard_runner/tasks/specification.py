"""What a plan or a chain file says about its target and its tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from modelyard_runner.target import Target, TargetType

VERSION = 1


class TaskKind(StrEnum):
    """What a task is for."""

    TRANSFORM = "transform"
    ESTIMATOR = "estimator"


@dataclass(frozen=True, slots=True)
class TaskSpecification:
    """One task of a chain. `code` is its folder; `type_schema` as in model-metadata.yaml, empty when it has none."""

    name: str
    kind: TaskKind
    code: Path
    parameters: dict[str, Any]
    type_schema: dict[str, Any]

    @property
    def is_transform(self) -> bool:
        """Whether another task comes after it."""
        return self.kind is TaskKind.TRANSFORM


def read_task(content: Mapping[str, Any], folder: Path) -> TaskSpecification:
    """A task of a JSON file whose paths begin in `folder`. Raises KeyError, TypeError or ValueError."""
    return TaskSpecification(
        name=str(content["name"]),
        kind=TaskKind(content["kind"]),
        code=folder / content["code"],
        parameters=dict(content.get("parameters") or {}),
        type_schema=dict(content.get("typeSchema") or {}),
    )


def read_target(content: Mapping[str, Any]) -> Target:
    """The target of a JSON file. Raises KeyError, TypeError or ValueError."""
    kind = TargetType.parse(content["targetType"])
    return Target(kind, content.get("targetName") or "", tuple(str(label) for label in content.get("labels") or ()))


def check_order(tasks: tuple[TaskSpecification, ...]) -> None:
    """Raise ValueError unless the tasks are any number of transforms and then one estimator."""
    if not tasks or [task.is_transform for task in tasks] != [True] * (len(tasks) - 1) + [False]:
        raise ValueError("a chain is any number of transforms, then one estimator")


def check_version(version: object) -> None:
    """Raise ValueError for a form of the file that came later."""
    if version != VERSION:
        raise ValueError(f"the version {version!r} of the file is not known")
