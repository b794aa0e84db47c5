"""What the registry does in the background: having the image of a package made."""

from modelyard.environments import service as environments
from modelyard.environments.builds import image_spec
from modelyard.environments.work import ensure_image
from modelyard.identity.roles import Permission
from modelyard.models import service as models
from modelyard.operations.work import Handler, OperationFailed, Work
from modelyard.registry.packages import BUILD
from modelyard.registry.tables import BuildState, ModelPackage
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.tables import Workspace


def build(work: Work) -> None:
    """Makes the image that the package's version runs on, unless it is there."""
    with work.database.read() as session:
        package = session.get(ModelPackage, work.payload["package_id"])
        if package is None:
            raise OperationFailed("The model package was deleted.")
        _, version = models.find_version(session, None, package.custom_model_version_id, Permission.VIEW)
        environment = environments.find_version(
            session, None, str(version.base_environment_id), version.base_environment_version_id
        )
        blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
        spec = image_spec(session, blobs, environment, session.get_one(Workspace, version.workspace_id))
    ensure_image(work, spec, work.say)


def finish(work: Work) -> None:
    """Tells that the package can be deployed."""
    _settle(work, BuildState.COMPLETE, None)


def _fail(work: Work, message: str) -> None:
    _settle(work, BuildState.FAILED, message)


def _cancel(work: Work) -> None:
    _settle(work, BuildState.FAILED, "The build was canceled.")


def _settle(work: Work, state: BuildState, error: str | None) -> None:
    with work.unit() as session:
        package = session.get(ModelPackage, work.payload["package_id"])
        if package is not None:
            package.build_state = state.value
            package.build_error = error


def handlers() -> list[Handler]:
    return [Handler(BUILD, (build, finish), on_failure=_fail, on_cancel=_cancel)]
