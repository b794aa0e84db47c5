"""What a version runs on and with: put into it from what was sent and from the version that it stands on."""

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from modelyard.compute.bundles import usable_bundle
from modelyard.environments.choosing import BASE_NAMES, Chosen, choose
from modelyard.environments.required_metadata import settled
from modelyard.identity.caller import Caller
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType, changes
from modelyard.models.rules import VERSION_RESOURCES, overridden, resource_errors
from modelyard.models.tables import CustomModelVersion
from modelyard.models.version_forms import required_metadata_field, required_metadata_of
from modelyard.models.version_schemas import (
    CustomModelVersionCreate,
    CustomModelVersionCreateFromLatest,
    GitModelVersion,
)
from modelyard.workspaces.runtime_parameters import (
    Definition,
    ReferenceFault,
    Value,
    check_values,
    merge,
    read_wanted,
)

ENVIRONMENT_FIELDS = {BASE_NAMES.environment, BASE_NAMES.version}


def set_environment(
    session: Session,
    caller: Caller,
    version: CustomModelVersion,
    body: CustomModelVersionCreate,
    latest: CustomModelVersion | None,
    problems: Problems,
    *,
    is_task: bool,
) -> None:
    """A version from scratch has to name an environment or have one to inherit; one of a task has to in any case."""
    if "base_environment_id" in body.unread:
        return
    with problems.collecting():
        chosen = choose(
            session,
            caller,
            Chosen(body.base_environment_id or None, body.base_environment_version_id or None),
            Chosen(latest.base_environment_id, latest.base_environment_version_id) if latest else Chosen(),
            is_required=is_task or not isinstance(body, CustomModelVersionCreateFromLatest),
        )
        version.base_environment_id = chosen.environment_id
        version.base_environment_version_id = chosen.version_id


def set_required_metadata(
    session: Session,
    version: CustomModelVersion,
    body: CustomModelVersionCreate,
    base: CustomModelVersion | None,
    problems: Problems,
) -> None:
    """The values that the version's environment asks for; none can be asked for where that is not known."""
    with problems.collecting():
        sent = required_metadata_of(body)
        if "base_environment_id" not in body.unread and not problems.errors.keys() & ENVIRONMENT_FIELDS:
            before = base.required_metadata if base else None
            field = required_metadata_field(body)
            version.required_metadata = settled(session, version.base_environment_id, sent, before, field)


def set_resources(
    version: CustomModelVersion,
    body: CustomModelVersionCreate,
    base: CustomModelVersion | None,
    settings: Settings,
    problems: Problems,
) -> None:
    """What was sent counts; what was not comes from ``base``, unless it contradicts what was sent."""
    sent = {field: value for field, value in changes(body).items() if field in VERSION_RESOURCES}
    inherited = {field: getattr(base, column) if base else None for field, column in VERSION_RESOURCES.items()}
    values = overridden(inherited, sent)
    problems.update(resource_errors({name: values[name] for name in values.keys() - body.unread}, settings))
    if sent.get("resource_bundle_id") is not None:
        with problems.collecting():
            usable_bundle(settings, sent["resource_bundle_id"], "customModel")
    for field, column in VERSION_RESOURCES.items():
        setattr(version, column, values[field])


def set_commit(version: CustomModelVersion, commit: GitModelVersion | None) -> None:
    version.git_model_version = None if commit is None else msgspec.to_builtins(commit)
    version.main_branch_commit_sha = None if commit is None else commit.main_branch_commit_sha


def set_parameters(
    version: CustomModelVersion,
    body: CustomModelVersionCreate,
    base: CustomModelVersion | None,
    reference_fault: ReferenceFault,
) -> None:
    """The values of the base, with v1 values merged into them or v2 values instead of them (A.7).

    Who makes a version writes its code, so they must be allowed to use all that it names, inherited or not.
    """
    definitions = msgspec.convert(version.parameter_definitions or [], list[Definition])
    values = msgspec.convert(base.parameter_values, list[Value]) if base else []
    parameters = None if isinstance(body.runtime_parameters, UnsetType) else body.runtime_parameters
    wanted = read_wanted(body.runtime_parameter_values or None, parameters)
    values = [] if wanted.replaces else values
    check_values(definitions, wanted.values, wanted.field, reference_fault, inherited=values)
    version.parameter_values = _stored(merge(values, wanted.values))


def _stored(values: list[Value]) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = msgspec.to_builtins(values)
    return built
