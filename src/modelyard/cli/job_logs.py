"""``modelyard job logs``: what a run wrote, and following it to its end."""

import sys
import time
from collections.abc import Callable
from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import interruptible, patient, pauses, spinner
from modelyard.cli.groups import AsJson
from modelyard.cli.job_settings import Job
from modelyard.cli.lookup import JOB, find
from modelyard.cli.run_log import Line, RunLog, print_as_json, print_log, print_text, print_with_time
from modelyard.cli.screen import note

UNHURRIED_S = 1.5
"""A wait is only worth a line in a terminal-less run's output when it takes longer."""

Run = Annotated[str | None, typer.Argument(help="A run's id; else the job's latest.", show_default=False)]


def logs(
    job: Job,
    run: Run = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, max=100_000, help="Only so many of the newest lines.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Each line after the time it was written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a run wrote. With --json and --follow, each line is one line of JSON."""
    api = connect()
    path = run_path(api, find(api, JOB, job), run)
    if follow:
        show = print_as_json if as_json else print_with_time if timestamps else print_text
        follow_log(api, path, show, tail=tail, quiet=as_json)
        return
    print_log(api, f"{path}logs/", tail=tail, timestamps=timestamps, as_json=as_json)


def run_path(api: Api, job: Json, run: str | None) -> str:
    """Where a run of the job is; the latest without its id."""
    if run is None and job["lastRun"] is None:
        hint = f"modelyard job run {job['id']}"
        raise CommandError(f"{job['name']} has not run yet", hint=hint, code=ExitCode.NOT_FOUND)
    path = f"{JOB.path}{job['id']}/runs/{run or job['lastRun']}/"
    if run is not None:
        api.get(path)
    return path


def follow_log(api: Api, path: str, show: Callable[[Line], None], *, tail: int | None = None, quiet: bool) -> Json:
    """Shows a run's lines as they come, after what it waits for; returns the run when it has ended."""
    job_id, run_id = path.split("/")[2], path.split("/")[4]
    come_back = f"Follow it: modelyard job logs {job_id} {run_id} -f; cancel it: modelyard job cancel {job_id} {run_id}"
    with interruptible(come_back, "the run"):
        _wait_to_begin(api, path, quiet=quiet)
        for line in RunLog(api, f"{path}logs/", tail).lines():
            show(line)
        return patient(lambda: api.get(path))


def _wait_to_begin(api: Api, path: str, *, quiet: bool) -> None:
    """Waits until a run has something to say: it executes, did so before, or has ended."""
    began, told = time.monotonic(), ""
    with spinner("Waiting", quiet=quiet) as say:
        for _ in pauses():
            run = patient(lambda: api.get(path))
            if run["phase"] in {"executing", "finished"} or run["attempt"]:
                return
            text = f"Waiting for {run['waitingFor']}"
            say(text)
            is_long = time.monotonic() - began > UNHURRIED_S
            if is_long and text != told and not quiet and not sys.stderr.isatty():
                note(text)
                told = text
