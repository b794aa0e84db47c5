"""Chains of task versions: whether they fit together, and the workspace that they are trained and served from.

The layout of the workspace and of ``modelyard-chain.json`` is the runner's:
docs/decisions/0033-training-in-the-runner.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.environments import service as environments
from modelyard.environments.builds import REQUIREMENTS_FILE
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Forbidden, Invalid, NotFound
from modelyard.kernel.problems import Problems
from modelyard.kernel.texts import decoded
from modelyard.kernel.wire import changes
from modelyard.learning.schemas import ChainTask, LearningModelCreate
from modelyard.learning.tables import Project
from modelyard.models import service as models
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.storage.blobs import BlobStore, store_bytes
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.hyperparameters import Hyperparameter, check_parameters
from modelyard.workspaces.parameter_variables import parameter_variables
from modelyard.workspaces.runtime_parameters import Definition, Value, views
from modelyard.workspaces.service import NewFile, StoredFile
from modelyard.workspaces.tables import Workspace

CHAIN_FILE = "modelyard-chain.json"
ARTIFACTS = "artifacts"
MAX_FILES = 20_000


@dataclass(frozen=True)
class Link:
    """One task of a chain, with all its parameters."""

    task: CustomModel
    version: CustomModelVersion
    parameters: dict[str, Any]
    files: list[StoredFile]

    @property
    def kind(self) -> str:
        return "transform" if self.task.target_type == "Transform" else "estimator"

    def record(self) -> dict[str, Any]:
        """What is kept of it with the model: its wire form, and what trainings need beyond."""
        told = ChainTask(
            custom_task_id=self.task.id,
            custom_task_version_id=self.version.id,
            name=self.task.name,
            label=self.version.label,
            kind=self.kind,  # type: ignore[arg-type]
            parameters=self.parameters,
        )
        record: dict[str, Any] = msgspec.to_builtins(told)
        return record | {
            "typeSchema": self.version.type_schema,
            "digest": workspaces.tree_digest(self.files),
            "parameterDefinitions": self.version.parameter_definitions,
            "parameterValues": self.version.parameter_values,
            "requiredMetadata": self.version.required_metadata or {},
        }


def plan_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the runner is told of a task, of what ``Link.record`` kept."""
    name = f"{record['name']} {record['label']}"
    return {"name": name, **{key: record[key] for key in ("kind", "parameters", "typeSchema")}}


@dataclass(frozen=True)
class Surroundings:
    """What the code of a chain finds in its environment: that of all tasks together, of two of one name the first's."""

    definitions: list[dict[str, Any]]
    values: list[dict[str, Any]]
    required_metadata: dict[str, str]

    def variables(self) -> dict[str, str]:
        definitions = msgspec.convert(self.definitions, list[Definition])
        values = msgspec.convert(self.values, list[Value])
        return parameter_variables(views(definitions, values)) | self.required_metadata


def surroundings_of(records: Sequence[dict[str, Any]]) -> Surroundings:
    """Of what ``Link.record`` kept of each task."""
    backwards = records[::-1]
    named = [
        {one["fieldName"]: one for record in backwards for one in record[kept]}
        for kept in ("parameterDefinitions", "parameterValues")
    ]
    metadata = {name: value for record in backwards for name, value in record["requiredMetadata"].items()}
    return Surroundings(list(named[0].values()), list(named[1].values()), metadata)


def read_chain(
    session: Session, caller: Caller, project: Project, body: LearningModelCreate, problems: Problems
) -> list[Link]:
    """The tasks that a request names, in order. What is wrong with them is noted as ``tasks``."""
    found: list[Link | None] = [
        _link(session, caller, number, task.custom_task_version_id, changes(task).get("parameters", {}), problems)
        for number, task in enumerate(body.tasks)
    ]
    links = [link for link in found if link is not None]
    if len(links) == len(found):
        for text in _misfits(links, project.target_type):
            problems.add("tasks", text)
    return links


def _link(
    session: Session, caller: Caller, number: int, version_id: str, given: dict[str, Any], problems: Problems
) -> Link | None:
    try:
        task, version = models.find_version(session, caller, version_id, Permission.VIEW)
    except (NotFound, Forbidden):
        task = None
    if task is None or task.custom_model_type != "training":
        problems.add("tasks", f"[{number}]: there is no custom task version {version_id} that you may see")
        return None
    if version.base_environment_id is None:
        problems.add("tasks", f"[{number}]: version {version.label} of {task.name!r} has no environment to run in")
    definitions = msgspec.convert(version.hyperparameters or [], list[Hyperparameter])
    parameters, faults = check_parameters(definitions, given)
    for name, text in faults.items():
        problems.add("tasks", f"[{number}].parameters.{name}: {text}")
    files = workspaces.files_by_id(session, [version.workspace_id])[version.workspace_id]
    return Link(task, version, parameters, files)


def _misfits(links: Sequence[Link], target_type: str) -> list[str]:
    """Why these tasks are no chain for this type of target."""
    faults = []
    estimators = [number for number, link in enumerate(links) if link.kind == "estimator"]
    if not estimators:
        faults.append(f"there is no estimator; the last task must be one for {target_type} targets")
    elif len(estimators) > 1:
        faults.append(f"[{estimators[1]}] is a second estimator; a chain has one, as its last task")
    elif estimators[0] != len(links) - 1:
        faults.append(f"[{estimators[0]}] is the estimator, but a transform follows it; it must be the last task")
    for number in estimators:
        wanted = links[number].task.target_type
        if wanted != target_type:
            faults.append(f"[{number}] is for {wanted} targets, the project's target is {target_type}")
    places = {(link.version.base_environment_id, link.version.base_environment_version_id) for link in links}
    if len(places) > 1:
        faults.append(
            "all tasks of a chain run in one environment version, but these name "
            + ", ".join(sorted(f"{environment}/{version}" for environment, version in places))
        )
    return faults


def environment_of(session: Session, links: Sequence[Link]) -> EnvironmentVersion:
    """The environment version that the chain runs in; of a task whose version names none, the newest good one."""
    version = links[0].version
    try:
        return environments.find_version(
            session, None, str(version.base_environment_id), version.base_environment_version_id
        )
    except NotFound as error:
        raise Invalid(f"tasks: {error.message}", {"tasks": error.message}) from None


def build_workspace(
    session: Session,
    blobs: BlobStore,
    project: Project,
    links: Sequence[Link],
    *,
    weights_column: str | None,
    calibrated: bool,
) -> Workspace:
    """The files of all tasks side by side, with their requirements put together and what the runner has to know."""
    files: list[NewFile] = []
    requirements: list[str] = []
    for number, link in enumerate(links):
        for file in link.files:
            about = {name: value for name, value in file._asdict().items() if name not in {"id", "created_at"}}
            files.append(NewFile(**about | {"path": f"tasks/{number}/{file.path}"}))
            if file.path == REQUIREMENTS_FILE:
                text = decoded(blobs.read(file.digest), "replace")
                requirements += [f"# of task {number + 1}", *text.splitlines()]
    if requirements:
        files.append(_text_file(blobs, REQUIREMENTS_FILE, "".join(f"{line}\n" for line in requirements)))
    chain = {
        "version": 1,
        "targetType": project.target_type,
        "targetName": project.target or "",
        "labels": project.class_labels,
        "features": features_of(project, weights_column),
        "tasks": [
            plan_of(link.record()) | {"code": f"tasks/{number}", "artifacts": f"{ARTIFACTS}/{number}"}
            for number, link in enumerate(links)
        ],
        "calibrated": calibrated,
    }
    files.append(_text_file(blobs, CHAIN_FILE, msgspec.json.format(msgspec.json.encode(chain)).decode()))
    return workspaces.create(session, files, max_files=MAX_FILES)


def features_of(project: Project, weights_column: str | None) -> list[dict[str, str]]:
    """The columns that the first task is given, in the dataset's order, with their kinds and spellings."""
    return [
        {name: column[name] for name in ("name", "kind", "spelling") if name in column}
        for column in project.columns
        if column["name"] not in {project.target, weights_column}
    ]


def _text_file(blobs: BlobStore, path: str, text: str) -> NewFile:
    blob = store_bytes(blobs, text.encode())
    return NewFile(path, blob.digest, blob.size_bytes, source="training")
