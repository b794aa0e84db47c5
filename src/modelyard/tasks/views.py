"""Tasks and their versions as the wire shows them, whole pages at once."""

from collections.abc import Sequence

from msgspec import UNSET
from sqlalchemy.orm import Session

from modelyard.environments.required_metadata import listed
from modelyard.identity.accounts import usernames
from modelyard.kernel.wire import moment
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.version_schemas import DependencyResponse
from modelyard.models.views import is_frozen, latest_versions, list_of, read_stored, view_each
from modelyard.tasks.schemas import CustomTaskResponse
from modelyard.tasks.version_schemas import CustomTaskVersionResponse
from modelyard.workspaces.hyperparameters import Hyperparameter
from modelyard.workspaces.items import items
from modelyard.workspaces.runtime_parameters import Definition, Value, views
from modelyard.workspaces.service import StoredFile
from modelyard.workspaces.type_schema import TypeSchema

CODE_FILE = "custom.py"
NO_CODE = f"There is no {CODE_FILE} at the top of the files, so there is nothing that could be trained."


def view_task(session: Session, task: CustomModel) -> CustomTaskResponse:
    return view_tasks(session, [task])[0]


def view_tasks(session: Session, tasks: Sequence[CustomModel]) -> list[CustomTaskResponse]:
    """Each task with its latest version and that version's files."""
    latest = latest_versions(session, tasks, view_task_version)
    names = usernames(session, {task.created_by_id for task in tasks})
    return [
        CustomTaskResponse(
            id=task.id,
            name=task.name,
            description=task.description,
            language=task.language,
            custom_model_type=task.custom_model_type,  # type: ignore[arg-type] # checked when it was stored
            target_type=task.target_type,  # type: ignore[arg-type] # checked when it was stored
            calibrate_predictions=UNSET if task.calibrate_predictions is None else task.calibrate_predictions,
            maximum_memory=task.maximum_memory_bytes,
            created=moment(task.created_at),
            created_by=names.get(task.created_by_id, ""),
            updated=moment(task.updated_at),
            latest_version=latest.get(task.latest_version_id or ""),
        )
        for task in tasks
    ]


def view_version_of(session: Session, task: CustomModel, version: CustomModelVersion) -> CustomTaskVersionResponse:
    return view_each(session, [version], [task.latest_version_id], view_task_version)[0]


def view_task_version(
    version: CustomModelVersion, files: Sequence[StoredFile], *, is_latest: bool
) -> CustomTaskVersionResponse:
    return CustomTaskVersionResponse(
        id=version.id,
        custom_task_id=version.model_id,
        custom_model_id=version.model_id,
        label=version.label,
        version_major=version.version_major,
        version_minor=version.version_minor,
        is_frozen=is_frozen(version, is_latest=is_latest),
        created=moment(version.created_at),
        description=version.description,
        items=items(version.workspace_id, files),
        dependencies=list_of(version.dependencies, list[DependencyResponse]),
        base_environment_id=version.base_environment_id,
        base_environment_version_id=version.base_environment_version_id,
        maximum_memory=version.maximum_memory_bytes,
        required_metadata=version.required_metadata or {},
        required_metadata_values=listed(version.required_metadata),
        warning=[] if any(file.path == CODE_FILE for file in files) else [NO_CODE],
        runtime_parameters=views(
            list_of(version.parameter_definitions, list[Definition]),
            list_of(version.parameter_values, list[Value]),
        ),
        hyperparameters=list_of(version.hyperparameters, list[Hyperparameter]),
        type_schema=None if version.type_schema is None else read_stored(version.type_schema, TypeSchema),
    )
