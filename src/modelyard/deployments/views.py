"""Deployments as the wire shows them: a constant number of queries for any page."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from modelyard.compute.services.service import ServiceStatus, service_statuses
from modelyard.compute.services.tables import ServiceState
from modelyard.deployments.prediction_environments.service import MANAGED_FOR_USERS, SERVER_ID, SERVER_KEY
from modelyard.deployments.prediction_environments.tables import PredictionEnvironment
from modelyard.deployments.schemas import (
    DeploymentAccuracyHealthResponse,
    DeploymentDefaultPredictionServerResponse,
    DeploymentDownloadResponse,
    DeploymentGovernanceResponse,
    DeploymentModelCustomModelImageResponse,
    DeploymentModelHealthResponse,
    DeploymentModelPackageResponse,
    DeploymentModelResponse,
    DeploymentOwnerResponse,
    DeploymentOwnersResponse,
    DeploymentPredictionEnvironmentResponse,
    DeploymentPredictionUsageResponse,
    DeploymentRetrieveResponse,
    DeploymentServiceHealthResponse,
    DeploymentSettingsInfo,
    DeploymentTagRetrieveResponse,
)
from modelyard.deployments.settings import read_settings
from modelyard.deployments.tables import Deployment, DeploymentStatus, DeploymentTag, Importance
from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.identity.holders import owners_of
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.sharing import roles_of
from modelyard.identity.tables import ResourceKind, User
from modelyard.kernel.database import Base
from modelyard.kernel.wire import moment
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.monitoring.usage import ServiceHealth, Usage, service_healths, usages
from modelyard.registry.tables import ModelPackage

KIND = ResourceKind.DEPLOYMENT
PERMISSION_NAMES = {
    Permission.VIEW: ("CAN_VIEW",),
    Permission.USE: ("CAN_MAKE_PREDICTIONS",),
    Permission.EDIT: (
        "CAN_EDIT_DEPLOYMENT",
        "CAN_REPLACE_MODEL",
        "CAN_CHANGE_STATUS",
        "CAN_ADD_CHALLENGERS",
    ),
    Permission.SHARE: ("CAN_SHARE_DEPLOYMENT", "CAN_SHARE_DEPLOYMENT_OWNERSHIP"),
    Permission.DELETE: ("CAN_DELETE_DEPLOYMENT",),
}
OWNERS_SHOWN = 5
TROUBLED = frozenset({ServiceState.FAILING, ServiceState.FAILED})
IMPORTANCES = [importance.value for importance in Importance]

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True)
class _Related:
    """What a page of deployments refers to, by id."""

    roles: dict[str, str]
    owners: dict[str, list[User]]
    usages: dict[str, Usage]
    healths: dict[str, ServiceHealth]
    services: dict[str, ServiceStatus]
    tags: dict[str, list[DeploymentTag]]
    packages: dict[str, ModelPackage]
    models: dict[str, CustomModel]
    versions: dict[str, CustomModelVersion]
    environments: dict[str, Environment]
    environment_versions: dict[str, EnvironmentVersion]
    prediction_environments: dict[str, PredictionEnvironment]


def view_deployments(
    session: Session, caller: Caller, gateway_url: str, rows: Sequence[Deployment], now: datetime
) -> list[DeploymentRetrieveResponse]:
    """Each deployment with its model, its traffic and what the caller may do to it."""
    if not rows:
        return []
    related = _related(session, caller, rows, now)
    return [_view(row, related, gateway_url) for row in rows]


def _related(session: Session, caller: Caller, rows: Sequence[Deployment], now: datetime) -> _Related:
    ids = [row.id for row in rows]
    return _Related(
        roles=roles_of(session, caller, KIND, ids),
        owners=owners_of(session, KIND, ids),
        usages=usages(session, ids, now),
        healths=service_healths(session, ids, now),
        services=service_statuses(session, ids),
        tags=_tags(session, ids),
        packages=by_id(session, ModelPackage, ModelPackage.id, {row.package_id for row in rows}),
        models=by_id(session, CustomModel, CustomModel.id, {row.custom_model_id for row in rows}),
        versions=by_id(
            session, CustomModelVersion, CustomModelVersion.id, {row.custom_model_version_id for row in rows}
        ),
        environments=by_id(session, Environment, Environment.id, {row.environment_id for row in rows}),
        environment_versions=by_id(
            session, EnvironmentVersion, EnvironmentVersion.id, {row.environment_version_id for row in rows}
        ),
        prediction_environments=by_id(
            session,
            PredictionEnvironment,
            PredictionEnvironment.id,
            {row.prediction_environment_id for row in rows},
        ),
    )


def by_id(
    session: Session, table: type[Row], column: InstrumentedAttribute[str], ids: Collection[str]
) -> dict[str, Row]:
    """Rows of ``table`` by their ids, in one query."""
    found: Iterable[Any] = session.scalars(select(table).where(column.in_(ids)))
    return {row.id: row for row in found}


def _tags(session: Session, ids: list[str]) -> dict[str, list[DeploymentTag]]:
    tags: dict[str, list[DeploymentTag]] = defaultdict(list)
    statement = select(DeploymentTag).where(DeploymentTag.deployment_id.in_(ids)).order_by(DeploymentTag.id)
    for tag in session.scalars(statement):
        tags[tag.deployment_id].append(tag)
    return tags


def _view(row: Deployment, related: _Related, gateway_url: str) -> DeploymentRetrieveResponse:
    allowed = PERMISSIONS[related.roles[row.id]]
    chosen = read_settings(row.settings)
    usage = related.usages[row.id]
    health = related.healths[row.id]
    trouble = _trouble(row, related.services.get(row.id))
    package = related.packages[row.package_id]
    return DeploymentRetrieveResponse(
        id=row.id,
        label=row.label,
        description=row.description,
        importance=IMPORTANCES[row.importance_rank],  # type: ignore[arg-type]
        status=row.status,  # type: ignore[arg-type]
        has_error=trouble is not None,
        status_message=trouble,
        created_at=moment(row.created_at),
        approval_status="APPROVED",
        governance=DeploymentGovernanceResponse(approval_status="APPROVED", has_opened_change_requests=False),
        opened_change_requests=[],
        owners=_owners(related.owners.get(row.id, [])),
        permissions=[name for one, names in PERMISSION_NAMES.items() if one in allowed for name in names],
        model=_model(row, related),
        model_package=DeploymentModelPackageResponse(
            id=package.id, name=package.name, registered_model_id=package.registered_model_id
        ),
        model_package_initial_download=DeploymentDownloadResponse(timestamp=None),
        scoring_code_initial_download=DeploymentDownloadResponse(timestamp=None),
        prediction_environment=view_prediction_environment(
            related.prediction_environments[row.prediction_environment_id]
        ),
        default_prediction_server=DeploymentDefaultPredictionServerResponse(
            id=SERVER_ID, url=gateway_url, datarobot_key=SERVER_KEY
        ),
        prediction_usage=DeploymentPredictionUsageResponse(
            daily_rates=list(usage.daily_rows), last_timestamp=moment(usage.last_at) if usage.last_at else None
        ),
        service_health=DeploymentServiceHealthResponse(
            status=health.status.value,
            start_date=moment(health.start) if health.start else None,
            end_date=moment(health.end) if health.end else None,
        ),
        model_health=DeploymentModelHealthResponse(
            status="unknown", message="Data drift is not measured.", start_date=None, end_date=None
        ),
        accuracy_health=DeploymentAccuracyHealthResponse(
            status="unknown", message="Accuracy is not measured.", start_date=None, end_date=None
        ),
        settings=DeploymentSettingsInfo(
            batch_monitoring_enabled=chosen.batch_monitoring.enabled,
            humble_ai_enabled=chosen.humility.enabled,
            prediction_intervals_enabled=chosen.prediction_intervals.enabled,
            prediction_warning_enabled=chosen.prediction_warning.enabled,
        ),
        tags=[
            DeploymentTagRetrieveResponse(id=tag.id, name=tag.name, value=tag.value)
            for tag in related.tags.get(row.id, [])
        ],
        user_provided_id=row.user_provided_id or UNSET,
    )


def _trouble(row: Deployment, service: ServiceStatus | None) -> str | None:
    if row.error is not None:
        return row.error
    if row.status == DeploymentStatus.ACTIVE.value and service is not None and service.state in TROUBLED:
        return service.reason or "Its replicas are down and are being started again."
    return None


def _owners(users: list[User]) -> DeploymentOwnersResponse:
    return DeploymentOwnersResponse(
        count=len(users),
        preview=[
            DeploymentOwnerResponse(id=user.id, email=user.email, first_name=user.first_name, last_name=user.last_name)
            for user in users[:OWNERS_SHOWN]
        ],
    )


def _model(row: Deployment, related: _Related) -> DeploymentModelResponse:
    model = related.models[row.custom_model_id]
    version = related.versions[row.custom_model_version_id]
    is_anomaly = row.target_type == "Anomaly"
    return DeploymentModelResponse(
        id=version.learning_model_id or version.id,
        type=model.name,
        target_type=row.target_type,
        build_environment_type=row.build_environment_type,
        custom_model_image=DeploymentModelCustomModelImageResponse(
            custom_model_id=model.id,
            custom_model_name=model.name,
            custom_model_version_id=version.id,
            custom_model_version_label=version.label,
            execution_environment_id=row.environment_id,
            execution_environment_name=related.environments[row.environment_id].name,
            execution_environment_version_id=row.environment_version_id,
            execution_environment_version_label=related.environment_versions[row.environment_version_id].label,
        ),
        deployed_at=moment(row.model_deployed_at) if row.model_deployed_at else None,
        is_deprecated=False,
        project_id=model.project_id,
        project_name=model.project_name,
        unstructured_model_kind=model.is_unstructured_model_kind or row.target_type == "Unstructured",
        unsupervised_mode=is_anomaly,
        unsupervised_type="anomaly" if is_anomaly else None,
        target_name=row.target_name or UNSET,
    )


def view_prediction_environment(row: PredictionEnvironment) -> DeploymentPredictionEnvironmentResponse:
    """Where a model runs, in the words of a deployment."""
    return DeploymentPredictionEnvironmentResponse(
        id=row.id,
        name=row.name,
        platform=row.platform,  # type: ignore[arg-type]
        is_managed_by_management_agent=row.managed_by in MANAGED_FOR_USERS,
        plugin=None,
        supported_model_formats=row.supported_model_formats,  # type: ignore[arg-type]
    )
