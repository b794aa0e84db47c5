"""``modelyard model push``: a folder becomes a version; only what changed is sent."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.folders import LocalFile, files_of
from modelyard.cli.following import upload_bar
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import ENVIRONMENT, MODEL, find, find_if_any, looks_like_id
from modelyard.cli.model_metadata import creation_of, read_metadata
from modelyard.cli.screen import note, plural, print_json, show_size
from modelyard.cli.uploads import SentFile


@dataclass
class Changes:
    """What makes a folder differ from a version."""

    sent: list[LocalFile] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: dict[str, str] = field(default_factory=dict)
    """Path to item id."""
    unchanged: int = 0

    def __bool__(self) -> bool:
        return bool(self.sent or self.removed)


def push(
    folder: Annotated[Path, typer.Argument(help="The folder with the model.", show_default=False)],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to add a version to (id or name); made where new.")
    ] = None,
    env: Annotated[
        str | None, typer.Option("--env", "-e", help="Environment that it runs in (id or name); kept once chosen.")
    ] = None,
    major: Annotated[bool, typer.Option("--major", help="Number it as a major version.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push a folder as the next version of a model.

    The first push makes the model; its name, target and environment come from model-metadata.yaml. What
    .modelyardignore names stays here. Only files that changed are sent; where nothing did, no version is made.
    """
    api = connect()
    files = files_of(folder)
    metadata = read_metadata(folder)
    found = _find_model(api, model, metadata)
    latest = found["latestVersion"] if found else None
    environment = _find_environment(api, env, metadata, latest)
    changes = compare(files, latest)
    moves = environment is not None and latest is not None and environment["id"] != latest["baseEnvironmentId"]
    if found and latest and not changes and not moves:
        _tell_nothing_changed(found, latest, as_json=as_json)
        return
    is_new = found is None
    found = found or _create(api, creation_of(metadata, model), quiet=as_json)
    version = send_version(api, found, changes, environment, is_major=major)
    if as_json:
        summary = {"added": changes.added, "replaced": changes.replaced, "removed": list(changes.removed)}
        print_json({"model": _short(found), "isNewModel": is_new, "version": version, "changed": True} | summary)
        return
    _tell_changes(changes)
    print(f"Version {version['label']} of {found['name']} ({version['id']}).")
    if version["dependencies"]:
        note(f"next: modelyard model build {found['id']}")


def compare(files: list[LocalFile], latest: Json | None) -> Changes:
    """What to send so that a version equals ``files``. The last part of an item's storagePath is its SHA-256."""
    changes = Changes()
    items = {item["filePath"]: item for item in latest["items"]} if latest else {}
    for file in files:
        item = items.pop(file.path, None)
        if item is not None and item["storagePath"].rpartition("/")[2] == file.digest():
            changes.unchanged += 1
            continue
        changes.sent.append(file)
        (changes.added if item is None else changes.replaced).append(file.path)
    changes.removed = {path: item["id"] for path, item in items.items()}
    return changes


def send_version(api: Api, model: Json, changes: Changes, environment: Json | None, *, is_major: bool) -> Json:
    """Makes a version on top of the latest one, or the first one."""
    fields: list[tuple[str, Any]] = [("isMajorUpdate", (None, str(is_major).lower()))]
    if environment is not None:
        fields.append(("baseEnvironmentId", (None, environment["id"])))
    fields += [("filesToDelete", (None, item_id)) for item_id in changes.removed.values()]
    total_bytes = sum(file.size_bytes for file in changes.sent)
    with upload_bar(f"Sending {plural(len(changes.sent), 'file')}", total_bytes) as advance, ExitStack() as opened:
        for file in changes.sent:
            stream = opened.enter_context(SentFile(file.source, advance))
            fields += [("file", (file.path, stream, "application/octet-stream")), ("filePath", (None, file.path))]
        path = f"/customModels/{model['id']}/versions/"
        made: Json = api.request("PATCH", path, files=fields, timeout=UPLOAD_TIMEOUT).json()
    return made


def _find_model(api: Api, model: str | None, metadata: dict[str, Any]) -> Json | None:
    if model:
        return find(api, MODEL, model) if looks_like_id(model) else find_if_any(api, MODEL, model)
    if metadata.get("modelID"):
        return find(api, MODEL, str(metadata["modelID"]))
    return find_if_any(api, MODEL, str(metadata["name"])) if metadata.get("name") else None


def _find_environment(api: Api, env: str | None, metadata: dict[str, Any], latest: Json | None) -> Json | None:
    """The environment to set; None keeps the latest version's."""
    if env:
        return find(api, ENVIRONMENT, env)
    if latest and latest["baseEnvironmentId"]:
        return None
    if metadata.get("environmentID"):
        return find(api, ENVIRONMENT, str(metadata["environmentID"]))
    names = ", ".join(str(each["name"]) for each in api.pages(ENVIRONMENT.path, limit=12))
    raise CommandError(
        "the first version of a model needs an environment",
        hint=f"push with --env, or set environmentID in model-metadata.yaml; there is {names}",
        code=ExitCode.USAGE,
    )


def _create(api: Api, body: Json, *, quiet: bool) -> Json:
    model = api.post("/customModels/", body)
    if not quiet:
        print(f"Made the model {model['name']} ({model['id']}): {model['targetType']}.")
    return model


def _tell_nothing_changed(model: Json, latest: Json, *, as_json: bool) -> None:
    if as_json:
        nothing: Json = {"changed": False, "added": [], "replaced": [], "removed": []}
        print_json({"model": _short(model), "isNewModel": False, "version": latest} | nothing)
    else:
        print(f"Nothing changed: version {latest['label']} of {model['name']} has these files.")


def _tell_changes(changes: Changes) -> None:
    size = show_size(sum(file.size_bytes for file in changes.sent))
    for sign, paths in (("+", changes.added), ("~", changes.replaced), ("-", sorted(changes.removed))):
        for path in paths[:20]:
            print(f"  {sign} {path}")
        if len(paths) > 20:
            print(f"  {sign} and {len(paths) - 20} more")
    print(f"Sent {plural(len(changes.sent), 'file')} ({size}); {changes.unchanged} unchanged.")


def _short(model: Json) -> Json:
    return {"id": model["id"], "name": model["name"]}
