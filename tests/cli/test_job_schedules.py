"""Schedules of jobs from the command line."""

import pytest

from tests.cli.conftest import Terminal
from tests.servers import Server

METADATA = b"""
runtimeParameterDefinitions:
  - {fieldName: REGION, type: string, defaultValue: north}
  - {fieldName: SIZE, type: numeric, defaultValue: 1, minValue: 1, maxValue: 9}
  - {fieldName: DRY, type: boolean, defaultValue: false}
"""


def a_job(server: Server, name: str) -> str:
    """A job with three parameters; its id."""
    parts = [
        ("name", (None, name)),
        ("file", ("metadata.yaml", METADATA)),
        ("filePath", (None, "metadata.yaml")),
    ]
    made = server.api.post("/customJobs/", files=parts)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def test_the_life_of_a_schedule(modelyard: Terminal, server: Server) -> None:
    job_id = a_job(server, "scheduled")
    outcome = modelyard.ok("job", "schedule", "list", "scheduled")
    assert outcome.out == ""
    assert outcome.err.startswith("scheduled has no schedule: modelyard job schedule add ")

    added = modelyard.ok(
        *("job", "schedule", "add", "scheduled", "--cron", "0,30 9 * * 1-5", "--time-zone", "Europe/Berlin"),
        *("--catch-up", "once", "--param", "REGION=a=b", "-p", "SIZE=2", "-p", "DRY=True", "--json"),
    ).json
    assert added["customJobId"] == job_id
    assert added["schedule"] == {
        "minute": [0, 30],
        "hour": [9],
        "dayOfMonth": ["*"],
        "month": ["*"],
        "dayOfWeek": ["1-5"],
    }
    assert (added["timeZone"], added["catchUp"], added["enabled"]) == ("Europe/Berlin", "once", True)
    assert [(one["fieldName"], one["value"]) for one in added["parameterOverrides"]] == [
        ("REGION", "a=b"),
        ("SIZE", 2),
        ("DRY", True),
    ]
    headings, line = modelyard.ok("job", "schedule", "list", "scheduled").out.splitlines()
    assert headings.split() == [
        "ID",
        "CRON",
        "TIME",
        "ZONE",
        "ENABLED",
        "CATCH-UP",
        "NEXT",
        "RUN",
        "LAST",
        "RUN",
        "LAST",
        "ERROR",
    ]
    assert line.startswith(f"{added['id']}  0,30 9 * * 1-5  Europe/Berlin  yes      once      20")

    assert modelyard.ok("job", "schedule", "pause", "scheduled").out == f"Schedule {added['id']} is paused.\n"
    (paused,) = modelyard.ok("job", "schedule", "list", job_id, "--json").json
    assert (paused["enabled"], paused["nextRunTimes"]) == (False, [])
    resumed = modelyard.ok("job", "schedule", "resume", "scheduled", added["id"])
    assert resumed.out.startswith("scheduled runs next at 20")
    second = modelyard.ok("job", "schedule", "add", "scheduled", "--cron", "0 0 * * *")
    assert second.out.startswith("scheduled runs next at 20")

    sundays = modelyard.ok("job", "schedule", "add", "scheduled", "--cron", "0 0 * * 1,7", "--json").json
    assert sundays["schedule"]["dayOfWeek"] == [1, 0]
    modelyard.ok("job", "schedule", "remove", "scheduled", sundays["id"])

    outcome = modelyard("job", "schedule", "remove", "scheduled")
    assert (outcome.code, outcome.out) == (2, "")
    assert "has 2 schedules" in outcome.err
    removed = modelyard.ok("job", "schedule", "remove", "scheduled", added["id"]).out
    assert removed == f"Removed schedule {added['id']}.\n"
    gone = modelyard.ok("job", "schedule", "remove", "scheduled", "--json").json
    assert gone["deleted"] is True
    assert modelyard("job", "schedule", "pause", "scheduled").code == 3
    assert modelyard("job", "schedule", "remove", "scheduled", added["id"]).code == 3


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--cron", "0 9 * *"], 2, "has 4 fields, not five"),
        (["--cron", "60 9 31 2 *"], 1, "schedule.minute: 60 cannot be"),
        (["--cron", "0 9 * * *", "--time-zone", "Berlin"], 1, "did you mean"),
        (["--cron", "0 9 * * *", "--param", "SIZE"], 2, "write it as NAME=VALUE"),
        (["--cron", "0 9 * * *", "--param", "SIZE=big"], 2, "SIZE is a number"),
        (["--cron", "0 9 * * *", "--param", "DRY=maybe"], 2, "DRY is true or false"),
        (["--cron", "0 9 * * *", "--param", "SIZE=10"], 1, "above maxValue 9"),
        (["--cron", "0 9 * * *", "--param", "COLOUR=red"], 2, "it has REGION, SIZE, DRY"),
    ],
)
def test_schedules_that_cannot_be(
    modelyard: Terminal, server: Server, options: list[str], code: int, told: str
) -> None:
    job_id = a_job(server, "never")
    outcome = modelyard("job", "schedule", "add", job_id, *options)
    assert (outcome.code, outcome.out) == (code, "")
    assert told in outcome.err
    assert server.api.get(f"/customJobs/{job_id}/schedules/").json()["totalCount"] == 0


def test_a_schedule_of_a_job_that_is_not(modelyard: Terminal) -> None:
    assert modelyard("job", "schedule", "list", "no such job").code == 3
