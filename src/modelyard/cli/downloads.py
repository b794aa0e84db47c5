"""Files that the server sends."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from modelyard.cli.client import Api
from modelyard.cli.errors import CommandError
from modelyard.cli.screen import done, show_size

STDOUT = Path("-")


def save(api: Api, path: str, output: Path | None, *, as_json: bool = False, quiet: bool = False) -> None:
    """Writes a download to ``output``, ``-`` being stdout; without it to the name that the server gives.

    ``quiet`` leaves it to the caller to tell.
    """
    with api.stream("GET", api.url(path)) as response:
        if output == STDOUT:
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        target = output or Path(_name(response.headers.get("content-disposition", "")))
        if output is None and target.exists():
            raise CommandError(f"{target} exists already", hint="choose another file with -o")
        size_bytes = write(response.iter_bytes(), target)
    if not quiet:
        saved = {"file": str(target), "sizeBytes": size_bytes}
        done(f"Saved {target} ({show_size(size_bytes)}).", saved, as_json=as_json)


def write(chunks: Iterable[bytes], target: Path) -> int:
    """Writes a file that is there only when all of it has come; returns its size."""
    size_bytes = 0
    staged = target.with_name(f".{target.name}.part")
    try:
        with staged.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                size_bytes += len(chunk)
        staged.replace(target)
    except OSError as error:
        raise CommandError(f"cannot write {target}: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)
    return size_bytes


def _name(disposition: str) -> str:
    """The file name of a Content-Disposition, without any folder."""
    found = re.search(r'filename="([^"]+)"', disposition)
    return Path(found[1]).name if found else "download"
