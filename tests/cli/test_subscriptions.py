"""What ``--on`` and ``--on-deployment`` say to the API."""

from typing import Any

from modelyard.cli.job_settings import EventType, subscription_body

BEFORE = {"subscription": {"eventTypes": ["runFailed"], "deploymentIds": ["d" * 24]}}


def wanted(events: list[EventType] | None, deployments: list[str] | None, job: Any = None) -> Any:
    return subscription_body(None, events, deployments, job).get("subscription")  # type: ignore[arg-type] # asks nobody


def test_what_is_not_given_stays_and_all_is_no_list() -> None:
    assert wanted(None, None, BEFORE) is None
    assert wanted([EventType.ALL], None, BEFORE) == {"eventTypes": None, "deploymentIds": ["d" * 24]}
    assert wanted(None, ["all"], BEFORE) == {"eventTypes": ["runFailed"], "deploymentIds": None}
    assert wanted([EventType.RUN_FAILED], None) == {"eventTypes": ["runFailed"], "deploymentIds": None}
    assert wanted([EventType.ALL], ["all"], {"subscription": None}) == {"eventTypes": None, "deploymentIds": None}
