"""``modelyard model test`` and ``log``: does a version do what it should?"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.following import interruptible, pauses, stderr_console
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DATASET, MODEL, find, find_version
from modelyard.cli.screen import done, note, print_json, print_table
from modelyard.cli.versioned import Version, Wait, read_build_log

Model = Annotated[str, typer.Argument(help="The model's id or name.", show_default=False)]

CHECKS = (
    "errorCheck",
    "longRunningService",
    "nullValueImputation",
    "sideEffects",
    "predictionVerificationCheck",
    "performanceCheck",
    "stabilityCheck",
)
LEVELS = ("fail", "warn", "skip")
BY_DEFAULT = {
    "nullValueImputation": "warn",
    "sideEffects": "fail",
    "performanceCheck": "warn",
    "stabilityCheck": "fail",
}
"""What is checked with a dataset unless ``--check`` says otherwise, beside what the server always checks."""
GOING_ON = {"queued", "in_progress", "not_tested"}
COLORS = {"succeeded": "green", "failed": "red", "warning": "yellow", "in progress": "cyan", "skipped": "dim"}


def run_test(
    model: Model,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Dataset to test with (id or name).")] = None,
    check: Annotated[
        list[str] | None,
        typer.Option("--check", help=f"CHECK=LEVEL with fail, warn or skip; repeat it. {', '.join(CHECKS)}"),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", help="CHECK.NAME=VALUE, as in performanceCheck.maxResponseTime=5."),
    ] = None,
    version: Version = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Test a version in the sandbox, and watch its checks.

    With a dataset, all checks but predictionVerificationCheck are made unless --check says otherwise.
    """
    api = connect()
    found = find(api, MODEL, model)
    chosen = find_version(api, MODEL, found, version)
    body: Json = {"customModelId": found["id"], "customModelVersionId": chosen["id"]}
    if dataset is not None:
        body["datasetId"] = find(api, DATASET, dataset)["datasetId"]
    body["configuration"] = (BY_DEFAULT if dataset else {}) | _levels(check or [])
    body["parameters"] = _parameters(api, parameter or [])
    test_id = api.post("/customModelTests/", body)["customModelTestId"]
    started = api.get(f"/customModelTests/{test_id}/")
    title = f"version {chosen['label']} of {found['name']}"
    ended = _watch(api, started, title, quiet=as_json) if wait else started
    if as_json:
        print_json(ended)
    elif wait:
        print_table(["check", "status", "message"], _rows(ended))
        print(f"Test {ended['id']} of {title}: {ended['overallStatus'].replace('_', ' ')}.")
    else:
        print(f"Testing {title}: modelyard model log {found['id']} --test")
    if ended["overallStatus"] in {"failed", "aborted", "canceled"}:
        raise CommandError(_test_failure(ended), hint=f"the whole log: modelyard model log {found['id']} --test")


def _levels(options: Sequence[str]) -> dict[str, str]:
    chosen = {}
    for option in options:
        name, _, level = option.partition("=")
        _known_check(name)
        if level not in LEVELS:
            raise CommandError(f"--check {option}: the level is one of {', '.join(LEVELS)}", code=ExitCode.USAGE)
        chosen[name] = level
    return chosen


def _parameters(api: Api, options: Sequence[str]) -> Json:
    """``CHECK.NAME=VALUE`` lines as the parameters of the checks; a dataset may be given by name."""
    found: Json = {}
    for option in options:
        name, _, value = option.partition("=")
        check, _, field = name.partition(".")
        _known_check(check)
        if not field or not value:
            raise CommandError(f"--parameter {option}: write it as CHECK.NAME=VALUE", code=ExitCode.USAGE)
        read: Any = find(api, DATASET, value)["datasetId"] if field == "datasetId" else _number(value)
        found.setdefault(check, {})[field] = read
    return found


def _number(text: str) -> int | float | str:
    for type_ in (int, float):
        try:
            return type_(text)
        except ValueError:
            continue
    return text


def _known_check(name: str) -> None:
    if name not in CHECKS:
        near = near_matches(name, CHECKS)
        hint = f"did you mean {' or '.join(near)}?" if near else f"the checks are {', '.join(CHECKS)}"
        raise CommandError(f"there is no check {name!r}", hint=hint, code=ExitCode.USAGE)


def _watch(api: Api, test: Json, title: str, *, quiet: bool) -> Json:
    """The test when it has ended; its checks are shown as they go."""
    come_back = f"See it: modelyard model log {test['customModel']['id']} --test"
    told: set[tuple[str, str]] = set()
    live = not quiet and sys.stderr.isatty()
    with interruptible(come_back), Live(console=stderr_console(), transient=True, auto_refresh=live) as screen:
        for _ in pauses():
            test = api.get(f"/customModelTests/{test['id']}/")
            if live:
                screen.update(_live_table(test, title))
            elif not quiet:
                _tell_news(test, told)
            if test["overallStatus"] not in GOING_ON:
                return test
    raise AssertionError


def _tell_news(test: Json, told: set[tuple[str, str]]) -> None:
    """For a log of a terminal-less run: one line for each check that begins or ends."""
    for name, each in test["testingStatus"].items():
        news = (name, each["status"])
        if each["status"] not in {"queued", "not_tested", "skipped"} and news not in told:
            told.add(news)
            note(f"{name}: {each['status'].replace('_', ' ')}")


def _live_table(test: Json, title: str) -> Table:
    table = Table("check", "status", "message", title=Text(f"Testing {title}"), box=None, title_justify="left")
    for name, status, message in _rows(test):
        table.add_row(name, Text(status, COLORS.get(status, "default")), Text(message))
    return table


def _rows(test: Json) -> list[list[str]]:
    return [
        [name, each["status"].replace("_", " "), " ".join(each["message"].split())]
        for name, each in test["testingStatus"].items()
    ]


def _test_failure(test: Json) -> str:
    if test["overallStatus"] != "failed":
        return f"the test was {test['overallStatus']}"
    failed = [
        f"{name}: {each['message']}" for name, each in test["testingStatus"].items() if each["status"] == "failed"
    ]
    return "; ".join(failed) or "the test failed"


def log(
    model: Model,
    of_test: Annotated[bool, typer.Option("--test", help="The latest test's log, not the build's.")] = False,
    version: Version = None,
    as_json: AsJson = False,
) -> None:
    """Print the log of the dependency build, or the latest test."""
    api = connect()
    found = find(api, MODEL, model)
    if of_test:
        tests = list(api.pages("/customModelTests/", customModelId=found["id"], limit=1))
        if not tests:
            hint = f"test it: modelyard model test {found['id']}"
            raise CommandError(f"{found['name']} was never tested", hint=hint, code=ExitCode.NOT_FOUND)
        text = api.text(f"/customModelTests/{tests[0]['id']}/log/")
    else:
        text = read_build_log(api, MODEL, found, version)
    done(text.rstrip("\n"), {"log": text}, as_json=as_json)
