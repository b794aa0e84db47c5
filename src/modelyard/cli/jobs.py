"""``modelyard job``: custom jobs, what they are made of and what became of them."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.job_artifacts import artifacts
from modelyard.cli.job_logs import logs
from modelyard.cli.job_push import entry_point_id, push
from modelyard.cli.job_runs import cancel, list_runs, run
from modelyard.cli.job_schedules import schedules
from modelyard.cli.job_settings import (
    Bundle,
    Egress,
    Env,
    Job,
    On,
    OnDeployment,
    Parameters,
    Retries,
    Timeout,
    cleared_values,
    settings_body,
    subscription_body,
    typed_values,
)
from modelyard.cli.lookup import ENVIRONMENT, JOB, TEMPLATE, Kind, find, only_one
from modelyard.cli.required_metadata import Metadata, metadata_values, shown_values
from modelyard.cli.screen import Column, done, print_details, print_list, show_time
from modelyard.cli.sharing import share_roles_command

app = group("Custom jobs: push and run them, with logs and outputs.")

DELETED = Kind("deleted job", "/deletedCustomJobs/", "", command="job list --deleted")


class JobType(StrEnum):
    DEFAULT = "default"
    HOSTED_CUSTOM_METRIC = "hostedCustomMetric"
    NOTIFICATION = "notification"
    RETRAINING = "retraining"


@app.command("list")
def list_jobs(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    job_type: Annotated[
        list[JobType] | None,
        typer.Option(
            "--type", metavar="TYPE", case_sensitive=False, help=f"Only this type ({', '.join(JobType)}); repeat it."
        ),
    ] = None,
    running: Annotated[bool, typer.Option("--running", help="Only those with a run under way.")] = False,
    deleted: Annotated[bool, typer.Option("--deleted", help="The deleted ones, until they are cleaned up.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs that you may see, newest first."""
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("type", "jobType"),
        ("runs", "runCount"),
        ("last run", "lastRun"),
        ("updated", lambda one: show_time(one["updated"])),
    ]
    api = connect()
    if deleted:
        if search or job_type or running:
            raise CommandError("--deleted lists all that are deleted, without a filter", code=ExitCode.USAGE)
        found = api.pages(DELETED.path, limit=limit)
        print_list(found, columns, as_json=as_json, nothing="No job is deleted.")
        return
    filters: Json = {"search": search, "onlyRunning": "true" if running else None}
    found = api.pages(JOB.path, limit=limit, jobType=[each.value for each in job_type or []] or None, **filters)
    print_list(found, columns, as_json=as_json, nothing="There is no job. Push one: modelyard job push DIR")


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    job_type: Annotated[
        JobType | None,
        typer.Option(
            "--type",
            "-t",
            metavar="TYPE",
            case_sensitive=False,
            help=f"What it is for: {', '.join(JobType)}; else as the template, or default.",
        ),
    ] = None,
    template: Annotated[str | None, typer.Option("--template", help="What it is made from (id or name).")] = None,
    description: Annotated[str | None, typer.Option(help="What it does.")] = None,
    env: Env = None,
    metadata: Metadata = None,
    network: Egress = None,
    bundle: Bundle = None,
    timeout: Timeout = None,
    retries: Retries = None,
    on: On = None,
    on_deployment: OnDeployment = None,
    as_json: AsJson = False,
) -> None:
    """Make a job from a template, or without files.

    Push brings files to it. A first push makes one too, from metadata.yaml.
    """
    api = connect()
    path = JOB.path
    body: Json = {"name": name} | settings_body(network, bundle, timeout, retries)
    body |= subscription_body(api, on, on_deployment)
    if job_type is not None:
        body["jobType"] = job_type.value
    if template is not None:
        path += "fromGalleryTemplate/"
        body["templateId"] = find(api, TEMPLATE, template)["id"]
    if description is not None:
        body["description"] = description
    if env is not None:
        body["environmentId"] = find(api, ENVIRONMENT, env)["id"]
    if metadata:
        body["requiredMetadataValues"] = json.dumps(metadata_values(metadata))
    made = api.post(path, body)
    done(f"Made the job {made['name']} ({made['id']}).", made, as_json=as_json)


@app.command()
def update(
    job: Job,
    name: Annotated[str | None, typer.Option(help="What it is called from now on.")] = None,
    description: Annotated[str | None, typer.Option(help="What it does.")] = None,
    env: Env = None,
    entry_point: Annotated[str | None, typer.Option("--entry-point", help="The path of the file that runs.")] = None,
    metadata: Metadata = None,
    param: Parameters = None,
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="NAME", help="A parameter that falls back to its default; repeat it."),
    ] = None,
    network: Egress = None,
    bundle: Bundle = None,
    timeout: Timeout = None,
    retries: Retries = None,
    on: On = None,
    on_deployment: OnDeployment = None,
    as_json: AsJson = False,
) -> None:
    """Change what a job is set to. Runs that were started before are not affected."""
    api = connect()
    found = find(api, JOB, job)
    body = settings_body(network, bundle, timeout, retries, found) | subscription_body(api, on, on_deployment, found)
    if name is not None:
        body["name"] = name
    if description is not None:
        body["description"] = description
    if env is not None:
        body["environmentId"] = find(api, ENVIRONMENT, env)["id"]
    if metadata:
        kept = found["requiredMetadataValues"] if env is None else ()
        body["requiredMetadataValues"] = json.dumps(metadata_values(metadata, kept))
    if entry_point is not None:
        body["entryPoint"] = entry_point_id(found, entry_point)
    values = [*typed_values(api, found, param or []), *cleared_values(found, clear or [])]
    if values:
        body["runtimeParameterValues"] = json.dumps(values)
    if not body:
        raise CommandError("nothing to change was given", hint="modelyard job update --help", code=ExitCode.USAGE)
    changed = api.patch(f"{JOB.path}{found['id']}/", body)
    done(f"Changed the job {changed['name']} ({changed['id']}).", changed, as_json=as_json)


@app.command()
def show(job: Job, as_json: AsJson = False) -> None:
    """Show a job: files, parameters, settings and its last run."""
    rows: list[Column] = [
        ("Job", "name"),
        ("Id", "id"),
        ("Type", "jobType"),
        ("Description", "description"),
        ("Entry point", _entry_point),
        ("Files", lambda one: [item["filePath"] for item in one["items"]]),
        ("Environment", "environmentId"),
        ("Metadata", lambda one: shown_values(one["requiredMetadataValues"])),
        ("Parameters", lambda one: [_parameter(each) for each in one["runtimeParameters"]]),
        ("Network", "resources.egressNetworkPolicy"),
        ("Resource bundle", "resources.resourceBundleId"),
        ("Time limit", lambda one: f"{one['timeoutSeconds']} s" if one["timeoutSeconds"] else None),
        ("Retries", lambda one: one["maxRetries"] or None),
        ("Tags", "tags"),
        ("Listens to", _subscription),
        ("Runs", "runCount"),
        ("Last run", "lastRun"),
        ("Created", lambda one: f"{show_time(one['created'])} by {one['createdBy']}"),
        ("Updated", lambda one: show_time(one["updated"])),
    ]
    print_details(find(connect(), JOB, job), rows, as_json=as_json)


def _subscription(job: Json) -> str | None:
    if job["jobType"] != JobType.NOTIFICATION.value:
        return None
    wanted = job["subscription"] or {}
    events = ", ".join(wanted.get("eventTypes") or ["every event"])
    return events + "".join(f" of {each}" for each in wanted.get("deploymentIds") or [])


def _entry_point(job: Json) -> str | None:
    return next((item["filePath"] for item in job["items"] if item["id"] == job["entryPoint"]), None)


def _parameter(parameter: Json) -> str:
    value: Any = parameter.get("currentValue")
    return f"{parameter['fieldName']} ({parameter['type']})" + ("" if value is None else f" = {json.dumps(value)}")


@app.command()
def delete(job: Job, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a job that is not running. Its runs and files are kept until it is cleaned up."""
    api = connect()
    found = find(api, JOB, job)
    confirm(f"Delete the job {found['name']}?", yes=yes)
    try:
        api.delete(f"{JOB.path}{found['id']}/")
    except CommandError as error:
        if error.status != 409:
            raise
        hint = f"modelyard job cancel {found['id']}"
        raise CommandError(error.message, hint=hint, status=409) from error
    sentence = f"Deleted the job {found['name']}. Erase what is kept of it: modelyard job cleanup {found['id']}"
    done(sentence, {"id": found["id"], "deleted": True}, as_json=as_json)


@app.command()
def cleanup(
    job: Annotated[str, typer.Argument(help="The deleted job's id or name.", show_default=False)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Erase a deleted job for good, with its runs, logs and files."""
    api = connect()
    found = _find_deleted(api, job)
    confirm(f"Erase {found['name']} for good, with its {found['runCount']} runs, their logs and files?", yes=yes)
    api.post(f"/customJobsCleanup/{found['id']}/")
    done(f"Erased the job {found['name']}.", {"id": found["id"], "erased": True}, as_json=as_json)


def _find_deleted(api: Api, text: str) -> Json:
    """The deleted job with this id or exact name. The list has no search, so all of it is read."""
    listed = list(api.pages(DELETED.path))
    by_id = [entry for entry in listed if entry["id"] == text]
    found = only_one(DELETED, text, by_id or [entry for entry in listed if entry["name"] == text])
    if found is not None:
        return found
    near = " or ".join(map(repr, near_matches(text, [entry["name"] for entry in listed])))
    hint = f"did you mean {near}?" if near else "only a deleted job is erased: modelyard job delete"
    raise CommandError(f"no deleted job has the id or name {text!r}", hint=hint, code=ExitCode.NOT_FOUND)


app.command("push")(push)
app.command("run")(run)
app.command("runs")(list_runs)
app.command("logs")(logs)
app.command("cancel")(cancel)
app.command("artifacts")(artifacts)
app.command("share")(share_roles_command(JOB))
app.add_typer(schedules, name="schedule")
