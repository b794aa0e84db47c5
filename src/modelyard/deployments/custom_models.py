"""Deployments as seen from the custom models that they run: the list and the logs of seed 001."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.deployments import logs
from modelyard.deployments import operations as kinds
from modelyard.deployments.custom_model_schemas import (
    CustomModelDeploymentListQuery,
    CustomModelDeploymentResponse,
    CustomModelShortResponse,
    CustomModelVersionShortResponse,
    ExecutionEnvironmentShortResponse,
    ExecutionEnvironmentVersionShortResponse,
)
from modelyard.deployments.listing import page_by_creation
from modelyard.deployments.service import find_deployment
from modelyard.deployments.tables import Deployment, DeploymentLog, LogKind
from modelyard.deployments.views import KIND, by_id
from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.identity import sharing
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import User
from modelyard.kernel.errors import NotFound
from modelyard.kernel.paging import Page, of_items, page
from modelyard.kernel.routing import Download, RequestInfo
from modelyard.kernel.wire import moment
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.testing.tables import CustomModelTest
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation


def list_deployments(
    session: Session, caller: Caller, query: CustomModelDeploymentListQuery, request: RequestInfo
) -> Page[CustomModelDeploymentResponse]:
    """The deployments that the caller may view, newest first."""
    if not query.custom_model_ids and not query.environment_ids:
        rows = page_by_creation(session, caller, query, newest_first=True)
        return of_items(_view(session, rows), sharing.count_visible(session, caller, KIND), query, request)
    statement = sharing.scoped(session, caller, KIND, Deployment, Deployment.id)
    if query.custom_model_ids:
        statement = statement.where(Deployment.custom_model_id.in_(query.custom_model_ids))
    if query.environment_ids:
        statement = statement.where(Deployment.environment_id.in_(query.environment_ids))
    statement = statement.order_by(Deployment.id.desc())
    return page(session, statement, query, request, lambda rows: _view(session, rows))


def _view(session: Session, rows: Sequence[Deployment]) -> list[CustomModelDeploymentResponse]:
    version_ids = {row.custom_model_version_id for row in rows}
    models = by_id(session, CustomModel, CustomModel.id, {row.custom_model_id for row in rows})
    versions = by_id(session, CustomModelVersion, CustomModelVersion.id, version_ids)
    environments = by_id(session, Environment, Environment.id, {row.environment_id for row in rows})
    environment_versions = by_id(
        session, EnvironmentVersion, EnvironmentVersion.id, {row.environment_version_id for row in rows}
    )
    users = by_id(session, User, User.id, {row.created_by_id for row in rows})
    tested = _testing_statuses(session, version_ids)
    return [
        CustomModelDeploymentResponse(
            id=row.id,
            label=row.label,
            status=row.status,  # type: ignore[arg-type]
            deployed=moment(row.created_at),
            deployed_by=users[row.created_by_id].username,
            custom_model=CustomModelShortResponse(id=row.custom_model_id, name=models[row.custom_model_id].name),
            custom_model_version=CustomModelVersionShortResponse(
                id=row.custom_model_version_id, label=versions[row.custom_model_version_id].label
            ),
            custom_model_image_id=row.custom_model_version_id,
            image_type="customModelVersion",
            execution_environment=ExecutionEnvironmentShortResponse(
                id=row.environment_id, name=environments[row.environment_id].name
            ),
            execution_environment_version=ExecutionEnvironmentVersionShortResponse(
                id=row.environment_version_id, label=environment_versions[row.environment_version_id].label
            ),
            testing_status=tested.get(row.custom_model_version_id, "not_tested"),  # type: ignore[arg-type]
        )
        for row in rows
    ]


def _testing_statuses(session: Session, version_ids: set[str]) -> dict[str, str]:
    """The outcome of the newest test of each version."""
    newest = (
        select(func.max(CustomModelTest.id))
        .where(CustomModelTest.version_id.in_(version_ids))
        .group_by(CustomModelTest.version_id)
    )
    statement = select(CustomModelTest.version_id, CustomModelTest.overall_status)
    return dict(session.execute(statement.where(CustomModelTest.id.in_(newest))).tuples().all())


def read_launch_log(session: Session, caller: Caller, deployment_id: str) -> Download:
    """How the last launch went: the environment, what the model wrote while it started, and why it failed."""
    find_deployment(session, caller, deployment_id)
    log = logs.newest(session, deployment_id, LogKind.LAUNCH)
    if log is None:
        raise NotFound(f"Deployment {deployment_id} has no log yet.")
    return _download(log)


def request_logs(session: Session, caller: Caller, deployment_id: str) -> Operation:
    """Has what the replicas wrote collected; the operation's result is the log."""
    find_deployment(session, caller, deployment_id, Permission.VIEW)
    operation = operations.start(
        session,
        caller,
        kinds.COLLECT_LOGS,
        status_type="CustomModelDeploymentLogs",
        payload={"deployment_id": deployment_id},
        resource_id=deployment_id,
        description="Collecting the logs of the replicas",
    )
    operation.result_path = f"/customModelDeployments/{deployment_id}/logs/{operation.id}/"
    return operation


def read_runtime_log(session: Session, caller: Caller, deployment_id: str, log_id: str) -> Download:
    """A log that was collected before."""
    find_deployment(session, caller, deployment_id)
    log = session.get(DeploymentLog, log_id)
    if log is None or log.deployment_id != deployment_id:
        raise NotFound(f"Deployment {deployment_id} has no log {log_id}.")
    return _download(log)


def _download(log: DeploymentLog) -> Download:
    return Download(log.text, f"deployment-{log.deployment_id}.log", "text/plain")
