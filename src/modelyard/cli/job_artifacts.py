"""``modelyard job artifacts``: the files that a run left."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.downloads import write
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson
from modelyard.cli.job_logs import Run, run_path
from modelyard.cli.job_settings import Job
from modelyard.cli.lookup import JOB, find
from modelyard.cli.screen import Column, plural, print_json, print_list, show_size


def artifacts(
    job: Job,
    run: Run = None,
    download: Annotated[
        Path | None, typer.Option("--download", "-d", help="A folder to save them in; made where new.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List or download the files that a run left.

    They are what its program wrote to $MODELYARD_OUTPUT_DIR, and kept when it has ended.
    """
    api = connect()
    path = f"{run_path(api, find(api, JOB, job), run)}artifacts/"
    found = list(api.pages(path))
    if download is not None:
        _download(api, path, found, download, as_json=as_json)
        return
    columns: list[Column] = [
        ("path", "filePath"),
        ("size", lambda one: show_size(one["sizeBytes"])),
        ("id", "id"),
    ]
    print_list(found, columns, as_json=as_json, nothing="The run left no file.")


def _download(api: Api, path: str, found: Sequence[Json], folder: Path, *, as_json: bool) -> None:
    """Saves all files. Where they go is settled before the first one comes."""
    targets = [(one, place_in(folder, one["filePath"])) for one in found]
    saved: list[Json] = []
    for one, target in targets:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"cannot make {target.parent}: {error.strerror}") from error
        with api.stream("GET", api.url(f"{path}{one['id']}/")) as response:
            saved.append({"file": str(target), "sizeBytes": write(response.iter_bytes(), target)})
    if as_json:
        print_json(saved)
        return
    for each in saved:
        print(f"  {each['file']} ({show_size(each['sizeBytes'])})")
    print(f"Saved {plural(len(saved), 'file')} in {folder}.")


def place_in(folder: Path, path: str) -> Path:
    """Where in the folder a file of the server goes; ``CommandError`` where that would be outside of it.

    Folders in between that are links to elsewhere count as outside; the file itself is replaced, never followed.
    """
    parts = PurePosixPath(path).parts
    is_plain = bool(parts) and not any(
        part in {"..", "/"} or os.sep in part or "\\" in part or "\0" in part for part in parts
    )
    target = folder.joinpath(*parts) if is_plain else folder
    if not is_plain or not target.parent.resolve().is_relative_to(folder.resolve()) or target.is_dir():
        raise CommandError(f"{path!r} would not be a file inside {folder}; nothing was saved", code=ExitCode.FAILED)
    return target
