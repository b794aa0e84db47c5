"""``modelyard model push`` and ``task push``: a folder becomes a version; only what changed is sent."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.folders import files_of
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import TASK, Kind, find, find_if_any, looks_like_id
from modelyard.cli.model_metadata import NAMES, creation_of
from modelyard.cli.pushing import Changes, compare, environment_to_set, sending
from modelyard.cli.required_metadata import Metadata, metadata_values
from modelyard.cli.screen import note, print_json
from modelyard.cli.yaml_files import read_metadata


def push_command(kind: Kind) -> Callable[..., None]:
    """The command that makes a version of a folder."""

    def push(
        folder: Annotated[Path, typer.Argument(help=f"The folder with the {kind.noun}.", show_default=False)],
        name: Annotated[
            str | None,
            typer.Option(
                f"--{kind.noun}",
                f"-{kind.noun[0]}",
                help=f"{kind.noun.title()} to add a version to (id or name); made where new.",
            ),
        ] = None,
        env: Annotated[
            str | None, typer.Option("--env", "-e", help="Environment that it runs in (id or name); kept once chosen.")
        ] = None,
        metadata: Metadata = None,
        major: Annotated[bool, typer.Option("--major", help="Number it as a major version.")] = False,
        as_json: AsJson = False,
    ) -> None:
        _push(kind, folder, name, env, metadata or [], is_major=major, as_json=as_json)

    its = "name, target and environment" if kind is not TASK else "name, target type and environment"
    push.__doc__ = f"""Push a folder as the next version of a {kind.noun}.

    The first push makes the {kind.noun}; its {its} come from model-metadata.yaml. What
    .modelyardignore names stays here. Only files that changed are sent; where nothing did, no version is made.
    """
    return push


def _push(
    kind: Kind,
    folder: Path,
    name: str | None,
    env: str | None,
    metadata: Sequence[str],
    *,
    is_major: bool,
    as_json: bool,
) -> None:
    api = connect()
    files = files_of(folder)
    described = read_metadata(folder, NAMES)
    found = _find(api, kind, name, described)
    latest = found["latestVersion"] if found else None
    current = latest["baseEnvironmentId"] if latest else None
    environment = environment_to_set(api, env, described, current, f"the first version of a {kind.noun}", NAMES[0])
    environment_id = environment["id"] if environment else None
    changes = compare(files, latest["items"] if latest else [])
    moves = environment_id is not None and latest is not None and environment_id != current
    if found and latest and not changes and not moves and not metadata:
        _tell_nothing_changed(kind, found, latest, as_json=as_json)
        return
    is_new = found is None
    found = found or _create(api, kind, creation_of(kind, described, name), quiet=as_json)
    if kind is TASK:
        environment_id = environment_id or current  # which every version of a task has to name
    kept = latest["requiredMetadataValues"] if latest and not moves else ()
    values = metadata_values(metadata, kept) if metadata else []
    version = _send(api, kind, found, changes, environment_id, values, is_major=is_major)
    if as_json:
        print_json(_told(kind, found, version, is_new=is_new, changed=True) | changes.summary())
        return
    changes.tell()
    print(f"Version {version['label']} of {found['name']} ({version['id']}).")
    for warning in version.get("warning", []):
        note(f"warning: {warning}")
    if version["dependencies"]:
        note(f"next: modelyard {kind.noun} build {found['id']}")


def _send(
    api: Api,
    kind: Kind,
    found: Json,
    changes: Changes,
    environment_id: str | None,
    values: Sequence[Json],
    *,
    is_major: bool,
) -> Json:
    """Makes a version on top of the latest one, or the first one."""
    fields: list[tuple[str, Any]] = [("isMajorUpdate", (None, str(is_major).lower()))]
    if environment_id is not None:
        fields.append(("baseEnvironmentId", (None, environment_id)))
    if values:
        fields.append(("requiredMetadataValues", (None, json.dumps(values))))
    with sending(changes) as files:
        path = f"{kind.path}{found['id']}/versions/"
        made: Json = api.request("PATCH", path, files=[*fields, *files], timeout=UPLOAD_TIMEOUT).json()
    return made


def _find(api: Api, kind: Kind, name: str | None, metadata: dict[str, Any]) -> Json | None:
    if name:
        return find(api, kind, name) if looks_like_id(name) else find_if_any(api, kind, name)
    if metadata.get("modelID"):
        return find(api, kind, str(metadata["modelID"]))
    return find_if_any(api, kind, str(metadata["name"])) if metadata.get("name") else None


def _create(api: Api, kind: Kind, body: Json, *, quiet: bool) -> Json:
    made = api.post(kind.path, body)
    if not quiet:
        print(f"Made the {kind.noun} {made['name']} ({made['id']}): {made['targetType']}.")
    return made


def _tell_nothing_changed(kind: Kind, found: Json, latest: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(_told(kind, found, latest, is_new=False, changed=False) | Changes().summary())
    else:
        print(f"Nothing changed: version {latest['label']} of {found['name']} has these files.")


def _told(kind: Kind, found: Json, version: Json, *, is_new: bool, changed: bool) -> Json:
    short = {"id": found["id"], "name": found["name"]}
    return {kind.noun: short, f"isNew{kind.noun.title()}": is_new, "version": version, "changed": changed}
