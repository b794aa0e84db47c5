"""The resources of a test: those that were sent, over those of the version, over those of the model."""

from typing import Any, get_args

from modelyard.compute.bundles import MODEL, require_givable, usable_bundle
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes
from modelyard.models import rules
from modelyard.models.rules import MEMORY, VERSION_RESOURCES, overridden
from modelyard.models.serving import NEEDS_MACHINES
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.testing.schemas import CustomModelTests, Egress

EGRESS_NAMES: tuple[str | None, ...] = (*get_args(Egress), None)


def resources_of(model: CustomModel, version: CustomModelVersion, body: CustomModelTests) -> dict[str, Any]:
    """What the test runs with: what was sent, else what the version says, else the model."""
    sent = {name: value for name, value in changes(body).items() if name in VERSION_RESOURCES and value is not None}
    found: dict[str, Any] = {}
    for name, column in VERSION_RESOURCES.items():
        of_version = getattr(version, column)
        found[name] = getattr(model, column, None) if of_version is None else of_version
    if version.resource_bundle_id is not None:
        found |= {name: getattr(version, column) for name, column in MEMORY.items()}
    return overridden(found, sent)


def resource_errors(settings: Settings, resources: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the resources, by the rules of models and versions, and what this machine cannot give."""
    problems = Problems()
    problems.update(rules.resource_errors(resources, settings))
    bundle_id = resources["resource_bundle_id"]
    if bundle_id is not None:
        with problems.collecting():
            usable_bundle(settings, bundle_id, MODEL)
            require_givable(settings, bundle_id)
    if resources["requires_ha"]:
        problems.add("requiresHa", NEEDS_MACHINES)
    return problems.errors


def shown(resources: dict[str, Any]) -> dict[str, Any]:
    """A network policy that only models have is no word of a test's."""
    policy = resources.get("network_egress_policy")
    return resources | ({} if policy in EGRESS_NAMES else {"network_egress_policy": None})
