"""What keeps a custom model from being deleted, and where it is found."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.services.tables import Service, Wanted
from modelyard.kernel.errors import Conflict
from modelyard.kernel.routing import RequestInfo
from modelyard.models import usage
from modelyard.models.doors import Door
from modelyard.models.tables import CustomModel
from modelyard.models.usage import UserKind

MAX_LINKS = 100


def refuse_held(session: Session, request: RequestInfo, model: CustomModel, door: Door) -> None:
    """Raises ``Conflict``, with the link to what holds it, for a model that is deployed, trained, proposed or tested.

    Seed 000, DELETE customTasks; seed 001, DELETE customModels.
    """
    it = f"{door.title} {model.id}"
    refuse_deployed(session, request, [model.id], it)
    _refuse_trained(session, request, model, it)
    challenged = usage.users_of(session, model.id, UserKind.CHALLENGER)
    if challenged:
        links = [f"{request.api_url}/deployments/{one}/challengers/" for one in challenged]
        text = f"{it} is a challenger in deployments ({len(challenged)}) and cannot be deleted; withdraw it first"
        raise Conflict.with_links(text, links, deploymentIds=challenged)
    tests = usage.users_of(session, model.id, UserKind.TEST)
    if tests:
        raise Conflict(f"{it} is being tested (test {tests[0]}); cancel the test or wait for its end.")


def refuse_deployed(
    session: Session, request: RequestInfo, model_ids: Sequence[str], it: str, *, only_active: bool = False
) -> None:
    """Raise ``Conflict``, with the link to the deployments, while any of the custom models is deployed.

    With ``only_active``, deployments that do not answer (inactive ones) count for nothing.
    """
    by_model = {one: usage.users_of(session, one, UserKind.DEPLOYMENT) for one in model_ids}
    if only_active:
        by_model = {one: _running(session, found) for one, found in by_model.items()}
    deployments = [one for found in by_model.values() for one in found]
    if deployments:
        ids = "&".join(f"customModelIds={one}" for one, found in by_model.items() if found)
        link = f"{request.api_url}/customModelDeployments/?{ids}"
        raise Conflict(
            f"{it} has existing deployments ({len(deployments)}) and cannot be deleted; delete them first: {link}",
            extra={"link": link, "deploymentIds": deployments},
        )


def _running(session: Session, deployment_ids: list[str]) -> list[str]:
    wanted = select(Service.id).where(Service.id.in_(deployment_ids), Service.wanted == Wanted.RUNNING.value)
    running = set(session.scalars(wanted))
    return [one for one in deployment_ids if one in running]


def _refuse_trained(session: Session, request: RequestInfo, model: CustomModel, it: str) -> None:
    trained = usage.users_with_parents(session, model.id, UserKind.LEARNING_MODEL, limit=MAX_LINKS)
    if not trained:
        return
    links = [f"{request.api_url}/projects/{project_id}/models/{model_id}/" for model_id, project_id in trained]
    text = f"{it} is trained in models of projects and cannot be deleted; delete them first"
    raise Conflict.with_links(text, links, learningModelIds=[model_id for model_id, _ in trained])
