"""Challengers: proposing packages for a deployment, looking at them, renaming and withdrawing them.

A challenger is a proposal. It is given no requests, and nothing of it runs, until it replaces the deployment's model.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from modelyard.deployments import operations as kinds
from modelyard.deployments.challengers import rows
from modelyard.deployments.challengers.schemas import (
    ChallengerCreate,
    ChallengerModelResponse,
    ChallengerResponse,
    ChallengerUpdate,
)
from modelyard.deployments.challengers.tables import Challenger
from modelyard.deployments.prediction_environments.tables import PredictionEnvironment
from modelyard.deployments.schemas import DeploymentModelPackageResponse
from modelyard.deployments.service import find_deployment, target_mismatch, usable_environment, usable_package
from modelyard.deployments.settings import read_settings
from modelyard.deployments.tables import Deployment
from modelyard.deployments.views import KIND, by_id, view_prediction_environment
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import User
from modelyard.kernel.errors import Conflict, Invalid, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, slice_page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import moment
from modelyard.models.serving import load_servable
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.registry.tables import ModelPackage

MAX_CHALLENGERS = 5
CHAMPION_NAME = "Champion"


def list_challengers(
    session: Session, caller: Caller, deployment_id: str, query: PageQuery, request: RequestInfo
) -> Page[ChallengerResponse]:
    """The champion, where challengers are enabled, and then the challengers, the oldest first."""
    row = find_deployment(session, caller, deployment_id)
    found = _views(session, row, rows.challengers_of(session, row.id))
    if _are_enabled(row):
        found.insert(0, _champion(session, row))
    return slice_page(found, query, request)


def read_challenger(session: Session, caller: Caller, deployment_id: str, challenger_id: str) -> ChallengerResponse:
    """One entry of the list."""
    row = find_deployment(session, caller, deployment_id)
    if challenger_id == row.package_id and _are_enabled(row):
        return _champion(session, row)
    return _views(session, row, [_find(session, row, challenger_id)])[0]


def add_challenger(session: Session, caller: Caller, deployment_id: str, body: ChallengerCreate) -> Operation:
    """Puts a package on the list. The operation ends when the package is built, or takes it off again if it cannot be.

    Raises ``Conflict`` where challengers are disabled or there are as many as there may be, ``Invalid`` with every
    wrong field.
    """
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    if not _are_enabled(row):
        raise Conflict(
            f"Challengers are disabled for deployment {row.id}; "
            'set {"challengerModels": {"enabled": true}} in its settings first.'
        )
    there = rows.challengers_of(session, row.id)
    if len(there) >= MAX_CHALLENGERS:
        raise Conflict(f"Deployment {row.id} has {len(there)} challengers, the most there may be; withdraw one first.")
    package, environment = _checked(session, caller, row, there, body)
    challenger = Challenger(
        id=new_id(),
        deployment_id=row.id,
        package_id=package.id,
        custom_model_version_id=package.custom_model_version_id,
        prediction_environment_id=environment.id,
        name=body.name,
        created_by_id=caller.user_id,
        created_at=datetime.now(UTC),
    )
    rows.add(session, challenger)
    audit.record(
        session, caller, "add challenger", KIND, row.id, {"challengerId": challenger.id, "packageId": package.id}
    )
    return operations.start(
        session,
        caller,
        kinds.ADD_CHALLENGER,
        status_type="Challenger",
        payload={"challenger_id": challenger.id, "package_id": package.id},
        resource_id=challenger.id,
        result_path=f"/deployments/{row.id}/challengers/{challenger.id}/",
        description=f"Adding {body.name} to the challengers of {row.label}",
    )


def _checked(
    session: Session, caller: Caller, row: Deployment, there: Sequence[Challenger], body: ChallengerCreate
) -> tuple[ModelPackage, PredictionEnvironment]:
    problems = Problems()
    with problems.collecting():
        package = _fitting_package(session, caller, row, there, body.model_package_id)
    with problems.collecting():
        environment_id = body.prediction_environment_id or row.prediction_environment_id
        environment = usable_environment(session, caller, environment_id)
    with problems.collecting():
        if not body.name.strip():
            problems.add("name", "must not be blank")
    problems.raise_all()
    return package, environment


def _fitting_package(
    session: Session, caller: Caller, row: Deployment, there: Sequence[Challenger], package_id: str
) -> ModelPackage:
    package = usable_package(session, caller, package_id)
    try:
        load_servable(session, package.custom_model_version_id)
    except Invalid as error:
        raise invalid(modelPackageId=error.message) from None
    if package.id == row.package_id:
        raise invalid(modelPackageId=f"model package {package.name!r} is the champion: the deployment runs it already")
    same = [one.name for one in there if one.package_id == package.id]
    if same:
        raise invalid(modelPackageId=f"model package {package.name!r} is a challenger already, {same[0]!r}")
    fault = target_mismatch(session, row, package)
    if fault is not None:
        raise invalid(modelPackageId=fault)
    return package


def rename_challenger(
    session: Session, caller: Caller, deployment_id: str, challenger_id: str, body: ChallengerUpdate
) -> ChallengerResponse:
    """Gives a challenger another name."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    challenger = _find(session, row, challenger_id)
    if not body.name.strip():
        raise invalid(name="must not be blank")
    challenger.name = body.name
    audit.record(session, caller, "rename challenger", KIND, row.id, {"challengerId": challenger_id, "name": body.name})
    session.flush()
    return _views(session, row, [challenger])[0]


def withdraw_challenger(session: Session, caller: Caller, deployment_id: str, challenger_id: str) -> None:
    """Takes a challenger off the list."""
    row = find_deployment(session, caller, deployment_id, Permission.EDIT, lock=True)
    challenger = _find(session, row, challenger_id)
    rows.remove(session, challenger)
    audit.record(session, caller, "withdraw challenger", KIND, row.id, {"challengerId": challenger_id})


def _find(session: Session, row: Deployment, challenger_id: str) -> Challenger:
    found = session.get(Challenger, challenger_id)
    if found is not None and found.deployment_id == row.id:
        return found
    if challenger_id == row.package_id and _are_enabled(row):
        raise Conflict(f"{challenger_id} is the champion of deployment {row.id}; replace it by another model instead.")
    raise NotFound(f"Deployment {row.id} has no challenger {challenger_id}.")


def _are_enabled(row: Deployment) -> bool:
    return read_settings(row.settings).challenger_models.enabled


def _champion(session: Session, row: Deployment) -> ChallengerResponse:
    package = session.get_one(ModelPackage, row.package_id)
    environment = session.get_one(PredictionEnvironment, row.prediction_environment_id)
    return ChallengerResponse(
        id=package.id,
        name=CHAMPION_NAME,
        deployment_id=row.id,
        is_champion=True,
        model=_model(package),
        model_package=_package(package),
        prediction_environment=view_prediction_environment(environment),
        created_at=moment(row.model_deployed_at) if row.model_deployed_at else None,
        created_by=None,
    )


def _views(session: Session, row: Deployment, found: Sequence[Challenger]) -> list[ChallengerResponse]:
    if not found:
        return []
    packages = by_id(session, ModelPackage, ModelPackage.id, {one.package_id for one in found})
    environment_ids = {one.prediction_environment_id for one in found}
    environments = by_id(session, PredictionEnvironment, PredictionEnvironment.id, environment_ids)
    users = by_id(session, User, User.id, {one.created_by_id for one in found})
    return [
        ChallengerResponse(
            id=one.id,
            name=one.name,
            deployment_id=row.id,
            is_champion=False,
            model=_model(packages[one.package_id]),
            model_package=_package(packages[one.package_id]),
            prediction_environment=view_prediction_environment(environments[one.prediction_environment_id]),
            created_at=moment(one.created_at),
            created_by=users[one.created_by_id].username if one.created_by_id in users else None,
        )
        for one in found
    ]


def _model(package: ModelPackage) -> ChallengerModelResponse:
    return ChallengerModelResponse(
        id=package.custom_model_version_id,
        name=package.custom_model_name,
        version_label=package.custom_model_version_label,
        custom_model_id=package.custom_model_id,
        target_type=package.target_type,
        target_name=package.target_name,
        build_environment_type=package.build_environment_type,
    )


def _package(package: ModelPackage) -> DeploymentModelPackageResponse:
    return DeploymentModelPackageResponse(
        id=package.id, name=package.name, registered_model_id=package.registered_model_id
    )
