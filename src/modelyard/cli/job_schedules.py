"""``modelyard job schedule``: when jobs run by themselves."""

from enum import StrEnum
from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson, group
from modelyard.cli.job_settings import typed_values
from modelyard.cli.lookup import JOB, find
from modelyard.cli.screen import Column, done, print_list, show_time

FIELDS = ("minute", "hour", "dayOfMonth", "month", "dayOfWeek")

schedules = group("When a job runs by itself: cron expressions in a time zone.")

Job = Annotated[str, typer.Argument(help="The job's id or name.", show_default=False)]
Schedule = Annotated[
    str | None, typer.Argument(help="The schedule's id; not needed where the job has only one.", show_default=False)
]


class CatchUp(StrEnum):
    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


@schedules.command()
def add(
    job: Job,
    cron: Annotated[
        str, typer.Option(help='Minute, hour, day of month, month, day of week: "0 9 * * 1-5".', show_default=False)
    ],
    time_zone: Annotated[str, typer.Option(help="Whose clocks are meant: Europe/Berlin.")] = "UTC",
    catch_up: Annotated[
        CatchUp, typer.Option(case_sensitive=False, help="What to do about due times that nobody was there for.")
    ] = CatchUp.SKIP,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A runtime parameter; repeat it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have a job run by itself."""
    body: Json = {"schedule": _fields(cron), "timeZone": time_zone, "catchUp": catch_up.value}
    api = connect()
    found = find(api, JOB, job)
    body["parameterOverrides"] = typed_values(api, found, param or [])
    made = api.post(_path(found), body)
    done(f"{found['name']} runs next at {_next(made)} (schedule {made['id']}).", made, as_json=as_json)


@schedules.command("list")
def list_schedules(job: Job, as_json: AsJson = False) -> None:
    """List a job's schedules, newest first."""
    columns: list[Column] = [
        ("id", "id"),
        ("cron", lambda one: _cron(one["schedule"])),
        ("time zone", "timeZone"),
        ("enabled", "enabled"),
        ("catch-up", "catchUp"),
        ("next run", _next),
        ("last run", lambda one: show_time(one["lastRunTime"])),
        ("last error", "lastError"),
    ]
    api = connect()
    found = find(api, JOB, job)
    nothing = f"{found['name']} has no schedule: modelyard job schedule add {found['id']} --cron '0 9 * * 1-5'"
    print_list(api.pages(_path(found)), columns, as_json=as_json, nothing=nothing)


@schedules.command()
def pause(job: Job, schedule: Schedule = None, as_json: AsJson = False) -> None:
    """Have a schedule start nothing until it is resumed."""
    _, changed = _set_enabled(job, schedule, enabled=False)
    done(f"Schedule {changed['id']} is paused.", changed, as_json=as_json)


@schedules.command()
def resume(job: Job, schedule: Schedule = None, as_json: AsJson = False) -> None:
    """Have a paused schedule go on; what was due meanwhile is not caught up."""
    found, changed = _set_enabled(job, schedule, enabled=True)
    done(f"{found['name']} runs next at {_next(changed)} (schedule {changed['id']}).", changed, as_json=as_json)


@schedules.command()
def remove(job: Job, schedule: Schedule = None, as_json: AsJson = False) -> None:
    """Remove a schedule; the runs that it started stay."""
    api = connect()
    found = find(api, JOB, job)
    schedule_id = _chosen(api, found, schedule)
    api.delete(f"{_path(found)}{schedule_id}/")
    done(f"Removed schedule {schedule_id}.", {"id": schedule_id, "deleted": True}, as_json=as_json)


def _set_enabled(name: str, schedule: str | None, *, enabled: bool) -> tuple[Json, Json]:
    api = connect()
    found = find(api, JOB, name)
    return found, api.patch(f"{_path(found)}{_chosen(api, found, schedule)}/", {"enabled": enabled})


def _path(found: Json) -> str:
    return f"{JOB.path}{found['id']}/schedules/"


def _chosen(api: Api, found: Json, schedule: str | None) -> str:
    """The schedule that was named, or the job's only one."""
    if schedule is not None:
        return schedule
    ids = [str(one["id"]) for one in api.pages(_path(found))]
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise CommandError(f"{found['name']} has no schedule", code=ExitCode.NOT_FOUND)
    raise CommandError(
        f"{found['name']} has {len(ids)} schedules",
        hint=f"name one by its id: modelyard job schedule list {found['id']}",
        code=ExitCode.USAGE,
    )


def _fields(cron: str) -> Json:
    """The five fields of a crontab's line as the API takes them; what each may hold is the server's to check."""
    fields = cron.split()
    if len(fields) != len(FIELDS):
        raise CommandError(
            f"--cron {cron!r} has {len(fields)} fields, not five",
            hint='minute, hour, day of month, month, day of week: "0 9 * * 1-5"',
            code=ExitCode.USAGE,
        )
    return {name: [_value(name, text) for text in field.split(",")] for name, field in zip(FIELDS, fields, strict=True)}


def _value(field: str, text: str) -> int | str:
    """A number where it is one. Sunday is 0 and 7 in a crontab, and 0 in the API."""
    if not (text.isdecimal() and text.isascii() and len(text) < 10):
        return text
    return 0 if field == "dayOfWeek" and int(text) == 7 else int(text)  # as said


def _cron(schedule: Json) -> str:
    return " ".join(",".join(map(str, schedule[name])) for name in FIELDS)


def _next(schedule: Json) -> str:
    times = schedule["nextRunTimes"]
    return show_time(times[0] if times else None)
