"""The environment that a version, a job or anything else with an image is made on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from modelyard.environments import service as environments
from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import Forbidden, Invalid, NotFound, invalid


@dataclass(frozen=True)
class Names:
    """What a request calls the two ids; errors name them so."""

    environment: str = "environmentId"
    version: str = "environmentVersionId"


BASE_NAMES = Names("baseEnvironmentId", "baseEnvironmentVersionId")


@dataclass(frozen=True)
class Chosen:
    """Ids of an environment and its version; both ``None`` for what has no environment yet."""

    environment_id: str | None = None
    version_id: str | None = None


def choose(
    session: Session,
    caller: Caller,
    wanted: Chosen,
    current: Chosen,
    *,
    is_required: bool = False,
    names: Names = BASE_NAMES,
) -> Chosen:
    """What to run on, given what a request names and what held before (seed 001, baseEnvironmentVersionId).

    The version that was named; else the one before, unless another environment was named; else the environment's
    newest good build. Raises ``Invalid`` for what does not exist, is not the caller's, is not built, or does not
    belong together.
    """
    environment_id, version_id = wanted.environment_id, wanted.version_id
    if environment_id is None and version_id is None:
        if current.environment_id is None and is_required:
            text = f"at least one of {names.environment} and {names.version} is required"
            raise Invalid(f"{names.environment}: {text}", {names.environment: text, names.version: text})
        return current
    with named(names):
        if environment_id is None and version_id is not None:
            environment_id = _environment_of(session, caller, version_id)
        if version_id is None and current.environment_id == environment_id:
            version_id = current.version_id
        assert environment_id is not None  # noqa: S101 # one of the two was given
        found = environments.find_version(session, caller, environment_id, version_id)
    return Chosen(found.environment_id, found.id)


@contextmanager
def named(names: Names) -> Iterator[None]:
    """Errors of the block under the names that the request uses."""
    try:
        yield
    except Invalid as error:
        named = {BASE_NAMES.environment: names.environment, BASE_NAMES.version: names.version}
        raise invalid(**{named.get(field, field): text for field, text in error.errors.items()}) from error


def _environment_of(session: Session, caller: Caller, version_id: str) -> str:
    """The environment of a version; one that is not the caller's is as if it were not there."""
    version = session.get(EnvironmentVersion, version_id)
    try:
        if version is not None:
            return environments.find(session, caller, version.environment_id).id
    except (NotFound, Forbidden):
        pass
    raise invalid(baseEnvironmentVersionId=f"there is no execution environment version {version_id} that you may see")
