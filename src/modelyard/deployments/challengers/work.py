"""What adding a challenger waits for: its package has to be built."""

from modelyard.deployments import operations as kinds
from modelyard.deployments.challengers import rows
from modelyard.deployments.challengers.tables import Challenger
from modelyard.deployments.views import KIND
from modelyard.identity import audit
from modelyard.operations.work import Handler, OperationFailed, Waiting, Work
from modelyard.registry.tables import BuildState, ModelPackage

LOOK_AGAIN_S = 0.2


def await_built(work: Work) -> None:
    """Waits until the challenger's package is built."""
    with work.database.read() as session:
        challenger = session.get(Challenger, work.payload["challenger_id"])
        package = session.get(ModelPackage, work.payload["package_id"])
    if challenger is None or package is None:
        raise OperationFailed("The challenger was withdrawn.")
    if package.build_state == BuildState.FAILED.value:
        raise OperationFailed(f"Model package {package.name!r} could not be built: {package.build_error}")
    if package.build_state != BuildState.COMPLETE.value:
        raise Waiting(LOOK_AGAIN_S)


def take_back(work: Work, message: str) -> None:
    """What cannot run is no challenger."""
    with work.unit() as session:
        challenger = session.get(Challenger, work.payload["challenger_id"])
        if challenger is not None:
            rows.remove(session, challenger)
            audit.record(
                session,
                None,
                "withdraw challenger",
                KIND,
                challenger.deployment_id,
                {"challengerId": challenger.id, "reason": message},
            )


def canceled(work: Work) -> None:
    take_back(work, "It was canceled.")


def handlers() -> list[Handler]:
    return [Handler(kinds.ADD_CHALLENGER, (await_built,), on_failure=take_back, on_cancel=canceled)]
