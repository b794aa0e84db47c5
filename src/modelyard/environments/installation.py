"""The built-in environments, put into the database at first start and after an upgrade."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.environments.builtin import BuiltinEnvironment, load_builtin
from modelyard.environments.tables import BuildStatus, Environment, EnvironmentVersion
from modelyard.identity import audit
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.ids import new_id


def install_builtin(session: Session) -> None:
    """Makes every built-in environment that is missing, and a new version of each whose definition changed.

    They count as built: their definitions and locks ship with Modelyard. The image is made when first needed.
    """
    present = {
        row.builtin_key: row for row in session.scalars(select(Environment).where(Environment.builtin_key.is_not(None)))
    }
    for definition in load_builtin():
        environment = present.get(definition.key) or _add(session, definition)
        environment.name = definition.name
        environment.description = definition.description
        environment.use_cases = list(definition.use_cases)
        _add_version_if_new(session, environment, definition)


def _add(session: Session, definition: BuiltinEnvironment) -> Environment:
    environment = Environment(
        id=new_id(),
        name=definition.name,
        programming_language=definition.programming_language,
        use_cases=list(definition.use_cases),
        is_public=True,
        builtin_key=definition.key,
        created_at=datetime.now(UTC),
    )
    session.add(environment)
    session.flush()
    audit.record(session, None, "create", ResourceKind.ENVIRONMENT, environment.id, {"name": definition.name})
    return environment


def _add_version_if_new(session: Session, environment: Environment, definition: BuiltinEnvironment) -> None:
    latest = session.get(EnvironmentVersion, environment.latest_version_id) if environment.latest_version_id else None
    content = (definition.requirements, definition.lock, definition.python_version)
    if latest is not None and (latest.requirements, latest.lock, latest.python_version) == content:
        return
    number = latest.number + 1 if latest else 1
    version = EnvironmentVersion(
        id=new_id(),
        environment_id=environment.id,
        number=number,
        label=f"v{number}",
        description=definition.description,
        requirements=definition.requirements,
        lock=definition.lock,
        python_version=definition.python_version,
        build_status=BuildStatus.SUCCESS.value,
        created_at=datetime.now(UTC),
    )
    session.add(version)
    session.flush()
    environment.latest_version_id = environment.latest_successful_version_id = version.id
