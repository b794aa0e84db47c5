"""``modelyard predict``: scores a file with a deployment, through the gateway."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.csv_pieces import csv_pieces
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import spinner
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DEPLOYMENT, find
from modelyard.cli.prediction_routes import find_prediction_url, is_unstructured
from modelyard.cli.screen import note, print_json

CHUNK_BYTES = 64 * 1024
STDIO = Path("-")
TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".txt": "text/plain; charset=UTF-8",
}


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
    """Score a file. The predictions come as CSV or JSON, in the order of the rows.

    A CSV that is answered as CSV may be of any size: it is scored in parts.
    """
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
        is_csv_to_csv = headers["Content-Type"] == headers.get("Accept") == TYPES[".csv"]
        bodies = csv_pieces(first, source) if is_csv_to_csv else iter([_chunks(first, source)])
        options: Json = {"headers": headers, "params": _passthrough(passthrough or []), "timeout": UPLOAD_TIMEOUT}
        in_the_way = sys.stdout.isatty() and output in {None, STDIO}
        with spinner(f"Scoring {file}", quiet=in_the_way) as say, _target(output) as target:
            content_type = _score(api, url, bodies, options, target, say)
    if output is not None and output != STDIO:
        if as_json:
            print_json({"deploymentId": found["id"], "output": str(output), "contentType": content_type})
        else:
            note(f"Saved {output} ({content_type}).")


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
    if known is not None and known != TYPES[".txt"]:
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


@contextmanager
def _target(output: Path | None) -> Iterator[BinaryIO]:
    """Where the answer goes: stdout, or a file that is there only when all of it has come."""
    if output is None or output == STDIO:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    staged = output.with_name(f".{output.name}.part")
    try:
        with staged.open("wb") as target:
            yield target
        staged.replace(output)
    except OSError as error:
        raise CommandError(f"cannot write {output}: {error.strerror}") from error
    finally:
        staged.unlink(missing_ok=True)


def _score(
    api: Api,
    url: str,
    bodies: Iterator[Any],
    options: Json,
    target: BinaryIO,
    say: Callable[[str], None],
) -> str:
    """Sends each body and writes its answer, of all but the first without the header; returns the content type."""
    content_type = ""
    for number, body in enumerate(bodies):
        if number:
            say(f"Scoring, part {number + 1}")
        with api.stream("POST", url, content=body, **options) as response:
            content_type = response.headers.get("Content-Type", "")
            in_header = number > 0
            for chunk in response.iter_bytes():
                piece = chunk
                if in_header:
                    _, end, piece = chunk.partition(b"\n")
                    in_header = not end
                target.write(piece)
    return content_type.partition(";")[0]
