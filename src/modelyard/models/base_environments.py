"""The environment that a version is made on."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from modelyard.environments import service as environments
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Forbidden, NotFound, invalid
from modelyard.models.tables import CustomModelVersion

BOTH_MISSING = "at least one of baseEnvironmentId and baseEnvironmentVersionId is required"


@dataclass(frozen=True)
class BaseEnvironment:
    """Ids of an environment and its version; both ``None`` for a version that has no environment yet."""

    environment_id: str | None
    version_id: str | None


def choose(
    session: Session,
    caller: Caller,
    environment_id: str | None,
    version_id: str | None,
    latest: CustomModelVersion | None,
    *,
    is_required: bool,
) -> BaseEnvironment:
    """What a new version runs on (seed 001, baseEnvironmentVersionId).

    The version that was named; else that of the model's latest version, unless another environment was named; else
    the environment's newest good build. Raises ``Invalid`` for what does not exist, is not the caller's, is not
    built, or does not belong together.
    """
    if environment_id is None and version_id is None:
        if latest is not None and latest.base_environment_id is not None:
            return BaseEnvironment(latest.base_environment_id, latest.base_environment_version_id)
        if is_required:
            raise invalid(baseEnvironmentId=BOTH_MISSING, baseEnvironmentVersionId=BOTH_MISSING)
        return BaseEnvironment(None, None)
    if environment_id is None and version_id is not None:
        environment_id = _environment_of(session, caller, version_id)
    if version_id is None and latest is not None and latest.base_environment_id == environment_id:
        version_id = latest.base_environment_version_id
    assert environment_id is not None  # noqa: S101 # one of the two was given
    found = environments.find_version(session, caller, environment_id, version_id)
    return BaseEnvironment(found.environment_id, found.id)


def _environment_of(session: Session, caller: Caller, version_id: str) -> str:
    """The environment of a version; one that is not the caller's is as if it were not there."""
    version = session.get(EnvironmentVersion, version_id)
    try:
        if version is not None:
            return environments.find(session, caller, version.environment_id).id
    except (NotFound, Forbidden):
        pass
    raise invalid(baseEnvironmentVersionId=f"there is no execution environment version {version_id} that you may see")
