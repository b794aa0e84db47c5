"""Which checks a test runs, and with which parameters."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from modelyard.kernel.settings import Settings
from modelyard.models.testing.schemas import (
    CustomModelTests,
    CustomModelTestsConfig,
    CustomModelTestsParameters,
    PerformanceParameters,
    StabilityParameters,
)
from modelyard.models.testing.tables import Check

UNSTRUCTURED_CHECKS = frozenset({Check.LONG_RUNNING_SERVICE, Check.ERROR_CHECK})
"""What can be asked of a model that takes bytes: the other checks send rows."""
NOT_ASKED_FOR = "Skipped, as the configuration of the test says."
NEEDS_ROWS = "Skipped: the check sends rows, and the model is unstructured."
NEEDS_DATASET = "Skipped: there is no dataset whose bytes could be sent."


def levels_of(body: CustomModelTests, *, is_unstructured: bool) -> tuple[dict[Check, str], dict[Check, str]]:
    """What a failure of each check means (``fail``, ``warn``, or ``skip``), and why those are skipped that are."""
    config = CustomModelTestsConfig() if isinstance(body.configuration, UnsetType) else body.configuration
    wanted = msgspec.to_builtins(config)
    levels = {check: wanted[check.value] for check in Check}
    skipped = {check: NOT_ASKED_FOR for check, level in levels.items() if level == "skip"}
    if is_unstructured:
        skipped |= dict.fromkeys(levels.keys() - UNSTRUCTURED_CHECKS - skipped.keys(), NEEDS_ROWS)
        if body.dataset_id is UNSET and "dataset_id" not in body.unread:
            skipped.setdefault(Check.ERROR_CHECK, NEEDS_DATASET)
    return levels | dict.fromkeys(skipped, "skip"), skipped


def filled(parameters: CustomModelTestsParameters, levels: dict[Check, str]) -> dict[str, dict[str, Any]]:
    """The parameters of the checks that run, with their defaults."""
    given = msgspec.to_builtins(parameters)
    given.setdefault(Check.PERFORMANCE.value, msgspec.to_builtins(PerformanceParameters()))
    given.setdefault(Check.STABILITY.value, msgspec.to_builtins(StabilityParameters()))
    return {name: values for name, values in given.items() if levels[Check(name)] != "skip"}


def parameter_errors(
    settings: Settings, levels: dict[Check, str], parameters: CustomModelTestsParameters
) -> dict[str, str]:
    """The parameters that are wrong together or for this installation, but for those that could not be read."""
    errors = {}
    prefix = "parameters."
    field = "prediction_verification_check"
    is_missing = parameters.prediction_verification_check is UNSET and field not in parameters.unread
    if is_missing and levels[Check.PREDICTION_VERIFICATION] != "skip":
        errors[prefix + Check.PREDICTION_VERIFICATION.value] = (
            "datasetId and predictionsColumn are required to verify predictions"
        )
    for check, given in (
        (Check.PERFORMANCE, parameters.performance_check),
        (Check.STABILITY, parameters.stability_check),
    ):
        users = 1 if isinstance(given, UnsetType) else given.num_parallel_users
        if users > settings.max_testing_parallel_users:
            errors[f"{prefix}{check.value}.numParallelUsers"] = (
                f"at most {settings.max_testing_parallel_users} parallel users are allowed, not {users}"
            )
    stability = parameters.stability_check
    if isinstance(stability, UnsetType) or {"min_payload_size", "max_payload_size"} & stability.unread:
        return errors
    if stability.min_payload_size > stability.max_payload_size:
        errors[f"{prefix}{Check.STABILITY.value}.minPayloadSize"] = (
            f"{stability.min_payload_size} is more than maxPayloadSize {stability.max_payload_size}"
        )
    return errors
