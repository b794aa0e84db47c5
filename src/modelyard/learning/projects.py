"""Projects: making, reading, changing, sharing and deleting them."""

from datetime import UTC, datetime

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.datasets import service as datasets
from modelyard.datasets.tables import DatasetVersion
from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, of_items, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType, changes, moment
from modelyard.learning.rules import metric_of, partitioning_of, target_of, weight_fault
from modelyard.learning.schemas import (
    PartitioningResponse,
    ProjectCreate,
    ProjectListQuery,
    ProjectResponse,
    ProjectUpdate,
)
from modelyard.learning.tables import LearningModel, LearningPrediction, Project, ProjectStatus
from modelyard.learning.targets import HIGHER_IS_BETTER, MIN_ROWS
from modelyard.models import usage
from modelyard.models.holders import refuse_deployed
from modelyard.models.usage import UserKind
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.workspaces.erasing import erase

KIND = ResourceKind.PROJECT
PREPARE = "project.prepare"


def list_projects(
    session: Session, caller: Caller, query: ProjectListQuery, request: RequestInfo
) -> Page[ProjectResponse]:
    """The projects that the caller may view, newest first unless ``orderBy`` says otherwise."""
    newest_first = query.order_by != "created"
    if query.search_for:
        statement = sharing.scoped(session, caller, KIND, Project, Project.id)
        statement = statement.where(Project.search_text.contains(query.search_for.casefold(), autoescape=True))
        order = Project.id.desc() if newest_first else Project.id.asc()
        return page(session, statement.order_by(order), query, request, lambda rows: [view(row) for row in rows])
    ids = sharing.visible_ids(session, caller, KIND, offset=query.offset, limit=query.limit, newest_first=newest_first)
    rows = {row.id: row for row in session.scalars(select(Project).where(Project.id.in_(ids)))}
    total = sharing.count_visible(session, caller, KIND)
    return of_items([view(rows[id_]) for id_ in ids if id_ in rows], total, query, request)


def create_project(session: Session, caller: Caller, body: ProjectCreate) -> tuple[Project, Operation]:
    """A project of the caller's own, whose data are being made ready. Every wrong field is in one ``Invalid``."""
    problems = Problems()
    with problems.collecting():
        if not body.project_name.strip():
            problems.add("projectName", "must not be blank")
    with problems.collecting():
        partitioning = partitioning_of(
            None if isinstance(body.partitioning, UnsetType) else body.partitioning, problems
        )
    with problems.collecting():
        version = _dataset_version(session, caller, body, problems)
        if version is not None:
            columns = {column.name: column for column in datasets.columns_of(version)}
            target, target_type = target_of(body, columns, problems)
            metric = metric_of(changes(body).get("metric"), target_type, problems)
            positive = changes(body).get("positive_class_label")
            if positive is not None and target_type != "Binary":
                problems.add("positiveClassLabel", f"is for Binary targets only; this one is {target_type}")
            if (version.row_count or 0) < MIN_ROWS:
                text = f"the dataset has {version.row_count} rows; a project needs {MIN_ROWS}"
                problems.add("datasetId", text)
    problems.raise_all()
    assert version is not None  # noqa: S101 # or a problem was raised
    now = datetime.now(UTC)
    project = Project(
        id=new_id(),
        organization_id=caller.organization_id,
        created_by_id=caller.user_id,
        created_at=now,
        updated_at=now,
        name=body.project_name,
        search_text=body.project_name.casefold(),
        dataset_id=version.dataset_id,
        dataset_version_id=version.id,
        target=target,
        target_type=target_type,
        metric=metric,
        positive_class_label=positive,
        class_labels=[],
        partitioning=msgspec.to_builtins(partitioning),
        partition_rows={},
        columns=[{"name": name, "weightFault": weight_fault(column)} for name, column in columns.items()],
        row_count=version.row_count or 0,
        table_digest=version.table_digest or "",
        status=ProjectStatus.PREPARING.value,
    )
    session.add(project)
    session.flush()
    sharing.grant_owner(session, caller, KIND, project.id)
    audit.record(session, caller, "create", KIND, project.id, {"name": project.name})
    operation = operations.start(
        session,
        caller,
        PREPARE,
        status_type="Project",
        payload={"project_id": project.id},
        resource_id=project.id,
        result_path=f"/projects/{project.id}/",
        description=f"Making the data of {project.name} ready",
    )
    return project, operation


def _dataset_version(
    session: Session, caller: Caller, body: ProjectCreate, problems: Problems
) -> DatasetVersion | None:
    version_id = None if isinstance(body.dataset_version_id, UnsetType) else body.dataset_version_id
    try:
        return datasets.ready(datasets.find_version(session, caller, body.dataset_id, version_id))
    except (NotFound, Conflict) as error:
        is_dataset = version_id is None or f"dataset {body.dataset_id}" in error.message
        problems.add("datasetId" if is_dataset else "datasetVersionId", error.message)
        return None


def find_project(
    session: Session, caller: Caller, project_id: str, permission: Permission = Permission.VIEW, *, lock: bool = False
) -> Project:
    """The project, if the caller's role allows ``permission``."""
    sharing.require(session, caller, KIND, project_id, permission)
    return session.get_one(Project, project_id, with_for_update=lock)


def change_project(session: Session, caller: Caller, project_id: str, body: ProjectUpdate) -> ProjectResponse:
    """Renames a project, or ranks its models by another metric."""
    project = find_project(session, caller, project_id, Permission.EDIT, lock=True)
    problems = Problems()
    wanted = changes(body)
    if "project_name" in wanted and not wanted["project_name"].strip():
        problems.add("projectName", "must not be blank")
    if "metric" in wanted:
        metric_of(wanted["metric"], project.target_type, problems)
    problems.raise_all()
    project.name = wanted.get("project_name", project.name)
    project.search_text = project.name.casefold()
    if wanted.get("metric", project.metric) != project.metric:
        project.metric = wanted["metric"]
        for model in session.scalars(select(LearningModel).where(LearningModel.project_id == project_id)):
            model.score = score_of(project, model.metrics)
    project.updated_at = datetime.now(UTC)
    audit.record(session, caller, "update", KIND, project_id, {"fields": sorted(wanted)})
    session.flush()
    return view(project)


def delete_project(session: Session, caller: Caller, request: RequestInfo, project_id: str) -> None:
    """Deletes a project with its models and predictions. ``Conflict`` while something of it is under way or deployed.

    Custom models that were made of its models stay.
    """
    project = find_project(session, caller, project_id, Permission.DELETE, lock=True)
    of_project = LearningModel.project_id == project_id
    busy = session.scalar(select(LearningModel.id).where(of_project, LearningModel.ended_at.is_(None)).limit(1))
    busy = busy or session.scalar(
        select(LearningModel.id)
        .join(LearningPrediction, LearningPrediction.model_id == LearningModel.id)
        .where(of_project, LearningPrediction.ended_at.is_(None))
        .limit(1)
    )
    if busy is not None or project.status == ProjectStatus.PREPARING.value:
        what = f"model {busy} is being trained or predicts" if busy else "its data are being made ready"
        raise Conflict(f"Project {project_id} cannot be deleted now: {what}. Cancel that or wait for its end.")
    made = select(LearningModel.custom_model_id).where(of_project, LearningModel.custom_model_id.is_not(None))
    refuse_deployed(
        session, request, [one for one in session.scalars(made) if one], f"Project {project_id}", only_active=True
    )
    ids = list(session.scalars(select(LearningModel.id).where(of_project)))
    erase_models(session, ids)
    operations.forget(session, [project_id])
    session.delete(project)
    sharing.forget(session, KIND, project_id)
    audit.record(session, caller, "delete", KIND, project_id, {"name": project.name})
    session.flush()


def erase_models(session: Session, model_ids: list[str]) -> None:
    """Deletes models with what they were made of, what they left and what they predicted."""
    held: list[str] = []
    logs: list[str | None] = []
    for model in session.scalars(select(LearningModel).where(LearningModel.id.in_(model_ids))):
        held += [one for one in (model.workspace_id, model.trained_workspace_id) if one is not None]
        logs.append(model.log_digest)
        usage.forget(session, UserKind.LEARNING_MODEL, model.id)
    predicted = select(LearningPrediction.id).where(LearningPrediction.model_id.in_(model_ids))
    operations.forget(session, [*model_ids, *session.scalars(predicted)])
    session.execute(delete(LearningPrediction).where(LearningPrediction.model_id.in_(model_ids)))
    session.execute(delete(LearningModel).where(LearningModel.id.in_(model_ids)))
    erase(session, held, logs)


def list_access(
    session: Session, caller: Caller, project_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """Who has which role on the project."""
    find_project(session, caller, project_id)
    return access_lists.list_access(session, KIND, project_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, project_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles on the project."""
    find_project(session, caller, project_id, Permission.SHARE)
    access_lists.change_access(session, caller, settings, KIND, project_id, body)


def score_of(project: Project, metrics: dict[str, dict[str, float | None]]) -> float | None:
    """What a model is ranked by: the project's metric on what was validated on, more being better."""
    found = (metrics.get("crossValidation") or metrics.get("validation") or {}).get(project.metric or "")
    if found is None:
        return None
    return found if project.metric in HIGHER_IS_BETTER else -found


def view(project: Project) -> ProjectResponse:
    return ProjectResponse(
        id=project.id,
        project_name=project.name,
        status=project.status,  # type: ignore[arg-type]
        reason=project.reason,
        dataset_id=project.dataset_id,
        dataset_version_id=project.dataset_version_id,
        target=project.target,
        target_type=project.target_type,  # type: ignore[arg-type]
        metric=project.metric,  # type: ignore[arg-type]
        positive_class_label=project.positive_class_label,
        class_labels=project.class_labels,
        partitioning=msgspec.convert(project.partitioning, PartitioningResponse),
        partition_rows=project.partition_rows,
        features=[column["name"] for column in project.columns if column["name"] != project.target],
        row_count=project.row_count,
        model_count=project.model_count,
        created=moment(project.created_at),
        updated=moment(project.updated_at),
        created_by=project.created_by_id,
    )
