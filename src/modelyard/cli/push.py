"""``modelyard model push``: a folder becomes a version; only what changed is sent."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.folders import files_of
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import MODEL, find, find_if_any, looks_like_id
from modelyard.cli.model_metadata import NAMES, creation_of
from modelyard.cli.pushing import Changes, compare, environment_to_set, sending
from modelyard.cli.required_metadata import Metadata, metadata_values
from modelyard.cli.screen import note, print_json
from modelyard.cli.yaml_files import read_metadata


def push(
    folder: Annotated[Path, typer.Argument(help="The folder with the model.", show_default=False)],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to add a version to (id or name); made where new.")
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", "-e", help="Environment that it runs in (id or name); kept once chosen.")
    ] = None,
    metadata: Metadata = None,
    major: Annotated[bool, typer.Option("--major", help="Number it as a major version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push a folder as the next version of a model.

    The first push makes the model; its name, target and environment come from model-metadata.yaml. What
    .modelyardignore names stays here. Only files that changed are sent; where nothing did, no version is made.
    """
    api = connect()
    files = files_of(folder)
    described = read_metadata(folder, NAMES)
    found = _find_model(api, model, described)
    latest = found["latestVersion"] if found else None
    current = latest["baseEnvironmentId"] if latest else None
    environment = environment_to_set(api, env, described, current, "the first version of a model", NAMES[0])
    changes = compare(files, latest["items"] if latest else [])
    moves = environment is not None and latest is not None and environment["id"] != latest["baseEnvironmentId"]
    if found and latest and not changes and not moves and not metadata:
        _tell_nothing_changed(found, latest, as_json=as_json)
        return
    is_new = found is None
    found = found or _create(api, creation_of(described, model), quiet=as_json)
    kept = latest["requiredMetadataValues"] if latest and not moves else ()
    values = metadata_values(metadata, kept) if metadata else []
    version = send_version(api, found, changes, environment, is_major=major, metadata=values)
    if as_json:
        told = {"model": _short(found), "isNewModel": is_new, "version": version, "changed": True}
        print_json(told | changes.summary())
        return
    changes.tell()
    print(f"Version {version['label']} of {found['name']} ({version['id']}).")
    if version["dependencies"]:
        note(f"next: modelyard model build {found['id']}")


def send_version(
    api: Api, model: Json, changes: Changes, environment: Json | None, *, is_major: bool, metadata: Sequence[Json] = ()
) -> Json:
    """Makes a version on top of the latest one, or the first one. ``metadata`` is what its environment asks for."""
    fields: list[tuple[str, Any]] = [("isMajorUpdate", (None, str(is_major).lower()))]
    if environment is not None:
        fields.append(("baseEnvironmentId", (None, environment["id"])))
    if metadata:
        fields.append(("requiredMetadataValues", (None, json.dumps(metadata))))
    with sending(changes) as files:
        path = f"/customModels/{model['id']}/versions/"
        made: Json = api.request("PATCH", path, files=[*fields, *files], timeout=UPLOAD_TIMEOUT).json()
    return made


def _find_model(api: Api, model: str | None, metadata: dict[str, Any]) -> Json | None:
    if model:
        return find(api, MODEL, model) if looks_like_id(model) else find_if_any(api, MODEL, model)
    if metadata.get("modelID"):
        return find(api, MODEL, str(metadata["modelID"]))
    return find_if_any(api, MODEL, str(metadata["name"])) if metadata.get("name") else None


def _create(api: Api, body: Json, *, quiet: bool) -> Json:
    model = api.post("/customModels/", body)
    if not quiet:
        print(f"Made the model {model['name']} ({model['id']}): {model['targetType']}.")
    return model


def _tell_nothing_changed(model: Json, latest: Json, *, as_json: bool) -> None:
    if as_json:
        told = {"model": _short(model), "isNewModel": False, "version": latest, "changed": False}
        print_json(told | Changes().summary())
    else:
        print(f"Nothing changed: version {latest['label']} of {model['name']} has these files.")


def _short(model: Json) -> Json:
    return {"id": model["id"], "name": model["name"]}
