"""What every push of a folder has in common: only what differs from the files on the server is sent."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.folders import LocalFile
from modelyard.cli.following import upload_bar
from modelyard.cli.lookup import ENVIRONMENT, find
from modelyard.cli.screen import plural, show_size
from modelyard.cli.uploads import SentFile

SHOWN = 20


@dataclass
class Changes:
    """What makes a folder differ from the files on the server."""

    sent: list[LocalFile] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    removed: dict[str, str] = field(default_factory=dict)
    """Path to item id."""
    unchanged: int = 0

    def __bool__(self) -> bool:
        return bool(self.sent or self.removed)

    def summary(self) -> Json:
        """The paths, for ``--json``."""
        return {"added": self.added, "replaced": self.replaced, "removed": list(self.removed)}

    def tell(self) -> None:
        """Prints a line for each path, and how much was sent."""
        size = show_size(sum(file.size_bytes for file in self.sent))
        for sign, paths in (("+", self.added), ("~", self.replaced), ("-", sorted(self.removed))):
            for path in paths[:SHOWN]:
                print(f"  {sign} {path}")
            if len(paths) > SHOWN:
                print(f"  {sign} and {len(paths) - SHOWN} more")
        print(f"Sent {plural(len(self.sent), 'file')} ({size}); {self.unchanged} unchanged.")


def compare(files: Iterable[LocalFile], items: Iterable[Json]) -> Changes:
    """What to send so that ``items`` equal ``files``. The last part of an item's storagePath is its SHA-256."""
    changes = Changes()
    there = {item["filePath"]: item for item in items}
    for file in files:
        item = there.pop(file.path, None)
        if item is not None and item["storagePath"].rpartition("/")[2] == file.digest():
            changes.unchanged += 1
            continue
        changes.sent.append(file)
        (changes.added if item is None else changes.replaced).append(file.path)
    changes.removed = {path: item["id"] for path, item in there.items()}
    return changes


@contextmanager
def sending(changes: Changes) -> Iterator[list[tuple[str, Any]]]:
    """The fields of a multipart form that make the changes; a bar shows how they go."""
    fields: list[tuple[str, Any]] = []
    if changes.removed:
        fields.append(("filesToDelete", (None, json.dumps(list(changes.removed.values())))))
    total_bytes = sum(file.size_bytes for file in changes.sent)
    with upload_bar(f"Sending {plural(len(changes.sent), 'file')}", total_bytes) as advance, ExitStack() as opened:
        for file in changes.sent:
            stream = opened.enter_context(SentFile(file.source, advance))
            fields += [("file", (file.path, stream, "application/octet-stream")), ("filePath", (None, file.path))]
        yield fields


def environment_to_set(
    api: Api, env: str | None, metadata: Json, current_id: str | None, what: str, file_name: str
) -> Json | None:
    """The environment that was asked for, else the metadata's where there is none yet; None keeps the current one.

    ``what`` needs one, for the error where nothing names any.
    """
    if env:
        return find(api, ENVIRONMENT, env)
    if current_id:
        return None
    if metadata.get("environmentID"):
        return find(api, ENVIRONMENT, str(metadata["environmentID"]))
    names = ", ".join(str(each["name"]) for each in api.pages(ENVIRONMENT.path, limit=12))
    raise CommandError(
        f"{what} needs an environment",
        hint=f"push with --env, or set environmentID in {file_name}; there is {names}",
        code=ExitCode.USAGE,
    )
