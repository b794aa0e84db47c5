"""``modelyard predict``: scores a file with a deployment, through the gateway."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import spinner
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DEPLOYMENT, find
from modelyard.cli.prediction_routes import find_prediction_url, is_unstructured
from modelyard.cli.screen import note, plural, print_json

CHUNK_BYTES = 64 * 1024
STDIO = Path("-")
TYPES = {".csv": "text/csv", ".json": "application/json", ".txt": "text/plain; charset=UTF-8"}


class Form(StrEnum):
    CSV = "csv"
    JSON = "json"


def predict(
    file: Annotated[
        Path, typer.Argument(help="CSV or JSON rows, or what the model takes; - is stdin.", show_default=False)
    ],
    deployment: Annotated[
        str, typer.Option("--deployment", "-d", help="The deployment's id or label.", show_default=False)
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; else stdout.")] = None,
    accept: Annotated[Form | None, typer.Option(help="How to answer; else as the output's name, or the input.")] = None,
    passthrough: Annotated[
        list[str] | None, typer.Option("--passthrough", "-p", help="Input column to repeat beside; all, or repeat it.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="What the file is; else by its name or first byte.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a file. The predictions come as CSV or JSON, in the order of the rows."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    url = find_prediction_url(api, found)
    with _opened(file) as source:
        first = source.read(CHUNK_BYTES)
        if not first:
            raise CommandError(f"{file} is empty", hint="predictions need at least one row", code=ExitCode.USAGE)
        headers = {"Content-Type": content_type or _type_of(file, first, found)}
        if not is_unstructured(found):
            wanted = Form.JSON if as_json and accept is None and output is None else accept
            headers["Accept"] = _accepted(wanted, output, headers["Content-Type"])
        query = _passthrough(passthrough or [])
        options: Json = {
            "content": _chunks(first, source),
            "headers": headers,
            "params": query,
            "timeout": UPLOAD_TIMEOUT,
        }
        with spinner(f"Scoring {file}"):
            sent = _receive(api, url, options, output)
    if output is not None and output != STDIO:
        if as_json:
            print_json({"deploymentId": found["id"], "output": str(output)} | sent)
        else:
            rows = f"{plural(sent['rows'], 'row')}, " if sent["rows"] is not None else ""
            note(f"Saved {output} ({rows}{sent['contentType']}).")


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if file == STDIO:
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as source:
            yield source
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror}", code=ExitCode.USAGE) from error


def _chunks(first: bytes, source: BinaryIO) -> Iterator[bytes]:
    while first:
        yield first
        first = source.read(CHUNK_BYTES)


def _type_of(file: Path, first: bytes, deployment: Json) -> str:
    known = TYPES.get(file.suffix.lower())
    if is_unstructured(deployment):
        return known or "application/octet-stream"
    if known in {"text/csv", "application/json"}:
        return known
    return "application/json" if first.lstrip()[:1] in {b"[", b"{"} else "text/csv"


def _accepted(accept: Form | None, output: Path | None, content_type: str) -> str:
    if accept is None and output is not None and output.suffix.lower() in {".csv", ".json"}:
        accept = Form(output.suffix.lower()[1:])
    if accept is None:
        accept = Form.JSON if "json" in content_type else Form.CSV
    return TYPES[f".{accept.value}"]


def _passthrough(columns: list[str]) -> dict[str, Any]:
    return {"passthroughColumnsSet": "all"} if columns == ["all"] else {"passthroughColumns": columns}


def _receive(api: Api, url: str, options: Json, output: Path | None) -> Json:
    """Writes the answer as it comes; a file is there only when all of it has come."""
    with api.stream("POST", url, **options) as response:
        if output is None or output == STDIO:
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        else:
            staged = output.with_name(f".{output.name}.part")
            with staged.open("wb") as target:
                for chunk in response.iter_bytes():
                    target.write(chunk)
            staged.replace(output)
        rows = response.headers.get("X-Modelyard-Rows")
        content_type = response.headers.get("Content-Type", "")
    return {"rows": int(rows) if rows else None, "contentType": content_type.partition(";")[0]}
