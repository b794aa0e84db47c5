"""``modelyard job push``: a folder becomes a job's files; only what changed is sent."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.folders import files_of
from modelyard.cli.groups import AsJson
from modelyard.cli.job_settings import Env
from modelyard.cli.lookup import JOB, find, find_if_any, looks_like_id
from modelyard.cli.pushing import Changes, compare, environment_to_set, sending
from modelyard.cli.required_metadata import Metadata, metadata_values
from modelyard.cli.screen import note, print_json
from modelyard.cli.yaml_files import read_metadata

METADATA_FILE = "metadata.yaml"


def push(
    folder: Annotated[Path, typer.Argument(help="The folder with the job.", show_default=False)],
    job: Annotated[
        str | None, typer.Option("--job", "-j", help="The job that gets the files (id or name); made where new.")
    ] = None,
    env: Env = None,
    metadata: Metadata = None,
    entry_point: Annotated[
        str | None,
        typer.Option("--entry-point", help="The path of the file that runs; else run.sh, else main.py."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Push a folder as the files of a job.

    The first push makes the job; its name, type, description and environment come from metadata.yaml. What
    .modelyardignore names stays here. Only files that changed are sent, and files that are gone here go there too.
    """
    api = connect()
    files = files_of(folder)
    _require_path(entry_point, [file.path for file in files])
    described = read_metadata(folder, [METADATA_FILE])
    found = _find_job(api, job, described)
    current = found["environmentId"] if found else None
    environment = environment_to_set(api, env, described, current, "a new job", METADATA_FILE)
    changes = compare(files, found["items"] if found else [])
    moves = environment is not None and environment["id"] != current
    pushed, values = found, {}
    if metadata:
        kept = found["requiredMetadataValues"] if found and not moves else ()
        values["requiredMetadataValues"] = json.dumps(metadata_values(metadata, kept))
    if found is None:
        pushed = _send(api, "POST", JOB.path, changes, environment, _creation_of(described, job) | values)
    elif changes or moves or values:
        pushed = _send(api, "PATCH", f"{JOB.path}{found['id']}/", changes, environment, values)
    assert pushed is not None  # noqa: S101 # found, or made just now
    turns = entry_point is not None and pushed["entryPoint"] != entry_point_id(pushed, entry_point)
    if entry_point is not None and turns:
        pushed = api.patch(f"{JOB.path}{pushed['id']}/", {"entryPoint": entry_point_id(pushed, entry_point)})
    _tell(pushed, changes, is_new=found is None, is_changed=bool(changes or moves or values or turns), as_json=as_json)


def entry_point_id(job: Json, path: str) -> str:
    """The id of the job's file at a path; ``CommandError`` where there is none."""
    items = {item["filePath"]: str(item["id"]) for item in job["items"]}
    _require_path(path, list(items))
    return items[path]


def _require_path(path: str | None, known: list[str]) -> None:
    if path is None or path in known:
        return
    near = near_matches(path, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:20]) or 'none'}"
    raise CommandError(f"no file {path!r} to run is among the job's files", hint=hint, code=ExitCode.USAGE)


def _find_job(api: Api, job: str | None, metadata: Json) -> Json | None:
    if job:
        return find(api, JOB, job) if looks_like_id(job) else find_if_any(api, JOB, job)
    return find_if_any(api, JOB, str(metadata["name"])) if metadata.get("name") else None


def _creation_of(metadata: Json, name: str | None) -> dict[str, str]:
    """The fields that make the job which the metadata describes."""
    chosen = name or metadata.get("name")
    if not chosen:
        hint = f"add a name to {METADATA_FILE}, or push with --job NAME"
        raise CommandError("the new job has no name", hint=hint, code=ExitCode.USAGE)
    fields = {"name": str(chosen)}
    return fields | {key: str(metadata[key]) for key in ("description", "jobType") if metadata.get(key)}


def _send(api: Api, method: str, path: str, changes: Changes, environment: Json | None, values: dict[str, str]) -> Json:
    """Makes a job with the files, or changes the one that is there."""
    if environment is not None:
        values = values | {"environmentId": str(environment["id"])}
    fields: list[tuple[str, Any]] = [(name, (None, value)) for name, value in values.items()]
    with sending(changes) as files:
        answer = api.request(method, path, files=[*fields, *files], timeout=UPLOAD_TIMEOUT)
    made: Json = answer.json()
    return made


def _tell(job: Json, changes: Changes, *, is_new: bool, is_changed: bool, as_json: bool) -> None:
    if as_json:
        print_json({"job": job, "isNewJob": is_new, "changed": is_new or is_changed} | changes.summary())
        return
    if not is_new and not is_changed:
        print(f"Nothing changed: {job['name']} has these files.")
        return
    changes.tell()
    print(f"{'Made' if is_new else 'Changed'} the job {job['name']} ({job['id']}).")
    if job["entryPoint"] is None:
        note("nothing to run yet: add run.sh or main.py, or push with --entry-point PATH")
    else:
        note(f"next: modelyard job run {job['id']}")
