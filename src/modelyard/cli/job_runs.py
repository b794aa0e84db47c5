"""``modelyard job run``, ``runs`` and ``cancel``."""

from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import interruptible, patient, pauses, spinner
from modelyard.cli.groups import AsJson
from modelyard.cli.job_logs import Run, follow_log, run_path
from modelyard.cli.job_settings import Job, Parameters, typed_values
from modelyard.cli.lookup import JOB, find
from modelyard.cli.run_log import Line, print_text
from modelyard.cli.screen import Column, done, note, plural, print_json, print_list, show_time

INTERRUPTED, CANCELED = 124, 125
"""What ``job run`` ends with where the program did not end by itself (124 is what timeout(1) says)."""
LARGEST_CODE = 255


def run(
    job: Job,
    param: Parameters = None,
    description: Annotated[str | None, typer.Option(help="Why it is run.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the log to the end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Run a job and print what it writes.

    The command ends as the run ends. Exit codes: 0 succeeded; the program's own when it failed; 124 when the run was
    interrupted, by its time limit for instance; 125 when it was canceled; 130 after Ctrl-C, which leaves the run
    alone. What the program writes goes to stdout, everything else to stderr.
    """
    api = connect()
    found = find(api, JOB, job)
    body: Json = {"runtimeParameterValues": typed_values(api, found, param or [])}
    if description is not None:
        body["description"] = description
    started = api.post(f"{JOB.path}{found['id']}/runs/", body)
    if not wait:
        sentence = f"Run {started['id']} of {found['name']} is under way: modelyard job logs {found['id']} -f"
        done(sentence, started, as_json=as_json)
        return
    path = f"{JOB.path}{found['id']}/runs/{started['id']}/"
    if not as_json:
        note(f"Run {started['id']} of {found['name']}")
    ended = follow_log(api, path, _ignore if as_json else print_text, quiet=as_json)
    if as_json:
        print_json(ended)
    if ended["status"] != "succeeded":
        raise _failure(found, ended)
    if not as_json:
        left = api.get(f"{path}artifacts/", limit=1)["totalCount"]
        files = f" and left {plural(left, 'file')}: modelyard job artifacts {found['id']}" if left else ""
        note(f"Succeeded in {ended['duration']:.1f} s{files}")


def _ignore(line: Line) -> None:
    del line


def _failure(job: Json, run: Json) -> CommandError:
    """A run that did not succeed, as an error with the exit code that tells how."""
    status, code = run["status"], run["exitCode"]
    why = run["reason"] or (f"exit code {code}" if code is not None else None)
    sentence = f"the run was {status}" if status != "failed" else "the run failed"
    hint = f"its log: modelyard job logs {job['id']} {run['id']}"
    own = code if code and 0 < code <= LARGEST_CODE else ExitCode.FAILED
    ends_with = {"interrupted": INTERRUPTED, "canceled": CANCELED}.get(status, own)
    return CommandError(f"{sentence}: {why}" if why else sentence, hint=hint, code=ends_with)


def list_runs(
    job: Job,
    limit: Annotated[int, typer.Option(min=1, help="How many to list.")] = 20,
    schedule: Annotated[str | None, typer.Option(help="Only those that this schedule (id) started.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a job, newest first."""
    api = connect()
    found = find(api, JOB, job)
    columns: list[Column] = [
        ("id", "id"),
        ("status", _state),
        ("exit code", "exitCode"),
        ("started", lambda one: show_time(one["startedAt"])),
        ("took", lambda one: f"{one['duration']:.1f} s" if one["startedAt"] else None),
        ("by", "createdBy"),
        ("remark", lambda one: one["reason"] or one["waitingFor"] or one["description"]),
    ]
    listed = api.pages(f"{JOB.path}{found['id']}/runs/", limit=limit, scheduledJobId=schedule)
    nothing = f"It has not run yet: modelyard job run {found['id']}"
    print_list(listed, columns, as_json=as_json, nothing=nothing)


def _state(run: Json) -> Any:
    return f"{run['status']} ({run['phase']})" if run["status"] == "running" else run["status"]


def cancel(
    job: Job,
    run: Run = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    as_json: AsJson = False,
) -> None:
    """Cancel a run.

    Its program is asked to end, and killed when it has not after a few seconds.
    """
    api = connect()
    found = find(api, JOB, job)
    path = run_path(api, found, run)
    api.delete(path)
    state = _wait_for_end(api, path, found) if wait else api.get(path)
    sentence = f"Run {state['id']} of {found['name']} is {state['status']}."
    done(sentence, state, as_json=as_json)


def _wait_for_end(api: Api, path: str, job: Json) -> Json:
    with interruptible(f"See how it goes: modelyard job runs {job['id']}"), spinner("Canceling"):
        for _ in pauses():
            state: Json = patient(lambda: api.get(path))
            if state["endedAt"]:
                return state
    raise AssertionError
