"""Prediction environments: where deployments run. One comes with every installation; others are the users' own."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import String, cast, or_, select
from sqlalchemy.orm import Session

from modelyard.credentials import service as credentials
from modelyard.deployments.challengers.tables import Challenger
from modelyard.deployments.prediction_environments.schemas import (
    BatchPredictions,
    PredictionEnvironmentCreate,
    PredictionEnvironmentListQuery,
    PredictionEnvironmentResponse,
    PredictionEnvironmentUpdate,
    PredictionServerResponse,
)
from modelyard.deployments.prediction_environments.tables import PredictionEnvironment
from modelyard.deployments.tables import Deployment
from modelyard.identity import access_lists, audit, sharing
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.identity.roles import PERMISSIONS, Permission
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.errors import Conflict, Forbidden, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, changes, moment

KIND = ResourceKind.PREDICTION_ENVIRONMENT
LOOKING = frozenset({Permission.USE, Permission.VIEW})
OWN_PLATFORMS = frozenset({"datarobot", "datarobotServerless"})
"""Platforms that mean this installation; the models of all others run somewhere else."""
MANAGED_FOR_USERS = frozenset({"managementAgent", "datarobot"})
SERVER_ID = "6d6f64656c79617264737276"
"""There is one prediction server, the gateway, so that its id needs no row."""
SERVER_KEY = "modelyard"
"""Existing clients must send some ``datarobot-key``; the gateway asks for the API token only."""


def install_default(session: Session) -> None:
    """Makes the prediction environment of this installation, unless there is one."""
    if session.scalar(select(PredictionEnvironment.id).where(PredictionEnvironment.is_default)) is not None:
        return
    row = PredictionEnvironment(
        id=new_id(),
        name="Modelyard",
        description="Serves models on this installation.",
        search_text="modelyard\nserves models on this installation.",
        platform="datarobotServerless",
        managed_by="selfManaged",
        supported_model_formats=["customModel"],
        is_default=True,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    audit.record(session, None, "create", KIND, row.id, {"name": row.name})


def list_environments(
    session: Session, caller: Caller, query: PredictionEnvironmentListQuery, request: RequestInfo
) -> Page[PredictionEnvironmentResponse]:
    """The default environment and those that the caller may view, the oldest first."""
    mine = sharing.scoped(session, caller, KIND, PredictionEnvironment, PredictionEnvironment.id)
    statement = select(PredictionEnvironment).where(
        or_(
            PredictionEnvironment.is_default,
            PredictionEnvironment.id.in_(mine.with_only_columns(PredictionEnvironment.id)),
        )
    )
    if query.search:
        statement = statement.where(
            PredictionEnvironment.search_text.contains(query.search.casefold(), autoescape=True)
        )
    if query.platform:
        statement = statement.where(PredictionEnvironment.platform.in_(query.platform))
    if query.supported_model_formats:
        formats = cast(PredictionEnvironment.supported_model_formats, String)
        statement = statement.where(or_(*(formats.contains(f'"{one}"') for one in query.supported_model_formats)))
    statement = statement.order_by(PredictionEnvironment.is_default.desc(), PredictionEnvironment.id)
    return page(session, statement, query, request, lambda rows: view(session, caller, rows))


def find_environment(
    session: Session, caller: Caller, environment_id: str, permission: Permission = Permission.VIEW
) -> PredictionEnvironment:
    """An environment that the caller may look at (everybody at the default one), or change."""
    row = session.get(PredictionEnvironment, environment_id)
    if row is None:
        raise NotFound(f"There is no prediction environment {environment_id} that you may see.")
    if row.is_default:
        if permission in LOOKING:
            return row
        raise Forbidden(f"{row.name!r} is the prediction environment of this installation; it cannot be changed.")
    sharing.require(session, caller, KIND, environment_id, permission)
    return row


def create_environment(
    session: Session, caller: Caller, body: PredictionEnvironmentCreate
) -> PredictionEnvironmentResponse:
    """A prediction environment of the caller's own. Raises ``Invalid`` for a credential that they may not use."""
    _check_credential(session, caller, body.credential_id)
    formats = body.supported_model_formats or ["customModel" if body.platform in OWN_PLATFORMS else "externalModel"]
    managed_by = body.managed_by or ("managementAgent" if body.is_managed_by_management_agent else "selfManaged")
    row = PredictionEnvironment(
        id=new_id(),
        name=body.name,
        description=body.description,
        search_text=_search_text(body.name, body.description),
        platform=body.platform,
        managed_by=managed_by,
        priority=body.priority,
        max_concurrent_batch_predictions_job=body.max_concurrent_batch_predictions_job,
        supported_model_formats=list(dict.fromkeys(formats)),
        credential_id=body.credential_id,
        datastore_id=body.datastore_id,
        is_default=False,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
    )
    session.add(row)
    session.flush()
    sharing.grant_owner(session, caller, KIND, row.id)
    audit.record(session, caller, "create", KIND, row.id, {"name": row.name})
    session.flush()
    return view(session, caller, [row])[0]


def change_environment(
    session: Session, caller: Caller, environment_id: str, body: PredictionEnvironmentUpdate
) -> PredictionEnvironmentResponse:
    """Changes what was sent; the platform stays while deployments are on it."""
    row = find_environment(session, caller, environment_id, Permission.EDIT)
    _check_credential(session, caller, None if body.credential_id is UNSET else body.credential_id)
    wanted: dict[str, Any] = changes(body)
    if wanted.get("platform", row.platform) != row.platform:
        _refuse_used(session, row, "its platform cannot be changed")
    managed_for_users = wanted.pop("is_managed_by_management_agent", None)
    if managed_for_users is not None and "managed_by" not in wanted:
        wanted["managed_by"] = "managementAgent" if managed_for_users else "selfManaged"
    for name, value in wanted.items():
        setattr(row, name, value)
    row.search_text = _search_text(row.name, row.description)
    audit.record(session, caller, "update", KIND, environment_id, wanted)
    session.flush()
    return view(session, caller, [row])[0]


def _check_credential(session: Session, caller: Caller, credential_id: str | None) -> None:
    fault = None if credential_id is None else credentials.reference_fault(session, caller, credential_id, None)
    if fault is not None:
        raise invalid(credentialId=fault)


def delete_environment(session: Session, caller: Caller, environment_id: str) -> None:
    """Deletes an environment; ``Conflict`` while deployments are on it."""
    row = find_environment(session, caller, environment_id, Permission.DELETE)
    _refuse_used(session, row, "it cannot be deleted")
    default_id = session.scalars(select(PredictionEnvironment.id).where(PredictionEnvironment.is_default)).one()
    for deleted in session.scalars(select(Deployment).where(Deployment.prediction_environment_id == environment_id)):
        deleted.prediction_environment_id = default_id
    session.flush()
    session.delete(row)
    sharing.forget(session, KIND, environment_id)
    audit.record(session, caller, "delete", KIND, environment_id, {"name": row.name})


def _refuse_used(session: Session, row: PredictionEnvironment, consequence: str) -> None:
    used = session.scalars(
        select(Deployment.id)
        .where(Deployment.prediction_environment_id == row.id, Deployment.deleted_at.is_(None))
        .limit(5)
    ).all()
    if not used:
        used = session.scalars(
            select(Challenger.deployment_id).where(Challenger.prediction_environment_id == row.id).distinct().limit(5)
        ).all()
    if used:
        raise Conflict(
            f"Prediction environment {row.name!r} is used by deployments ({', '.join(used)}); {consequence}.",
            extra={"deploymentIds": list(used)},
        )


def view(
    session: Session, caller: Caller, rows: Sequence[PredictionEnvironment]
) -> list[PredictionEnvironmentResponse]:
    """Environments with what the caller may do to each, in one query."""
    roles = sharing.roles_of(session, caller, KIND, [row.id for row in rows])
    return [_view(row, LOOKING if row.is_default else PERMISSIONS[roles[row.id]]) for row in rows]


def _view(row: PredictionEnvironment, allowed: frozenset[Permission]) -> PredictionEnvironmentResponse:
    return PredictionEnvironmentResponse(
        id=row.id,
        name=row.name,
        description=row.description,
        platform=row.platform,  # type: ignore[arg-type] # checked when it was written
        managed_by=row.managed_by,  # type: ignore[arg-type]
        is_managed_by_management_agent=row.managed_by in MANAGED_FOR_USERS,
        priority=row.priority,
        max_concurrent_batch_predictions_job=row.max_concurrent_batch_predictions_job,
        supported_model_formats=row.supported_model_formats,  # type: ignore[arg-type]
        credential_id=row.credential_id,
        datastore_id=row.datastore_id,
        is_deleted=False,
        created_at=moment(row.created_at),
        created_by=row.created_by_id,
        permissions=[f"CAN_{one.name}" for one in Permission if one in allowed - {Permission.SEE}],
    )


def list_access(
    session: Session, caller: Caller, environment_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that the environment is shared with; nobody needs a share in the default one."""
    find_environment(session, caller, environment_id)
    return access_lists.list_access(session, KIND, environment_id, query, request)


def change_access(
    session: Session, caller: Caller, settings: Settings, environment_id: str, body: SharingUpdateOrRemoveWithGrant
) -> None:
    """Sets or takes away users' roles, all or none."""
    row = find_environment(session, caller, environment_id)
    if row.is_default:
        raise Forbidden(f"{row.name!r} is the prediction environment of this installation; everybody may use it.")
    access_lists.change_access(session, caller, settings, KIND, environment_id, body)


def prediction_server(url: str) -> PredictionServerResponse:
    """The gateway."""
    return PredictionServerResponse(
        id=SERVER_ID,
        url=url,
        datarobot_key=SERVER_KEY,
        batch_predictions=BatchPredictions(processing=0, queued=0),
    )


def _search_text(name: str, description: str | None) -> str:
    return f"{name}\n{description or ''}".casefold()
