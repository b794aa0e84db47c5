"""What a terminal is sent: colours, and no other control of it, whatever server, logs and names hold."""

import io
import json
import os
import pty
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from docs.cli_reference import command_paths

from modelyard.app import endpoints
from modelyard.cli import terminal
from modelyard.cli.client import Api
from modelyard.cli.commands import COMMANDS, SERVER
from modelyard.cli.following import SafeConsole, spinner, step_bar
from modelyard.cli.main import load, run
from modelyard.cli.run_log import Line, print_text, print_with_time
from modelyard.cli.screen import note, print_json
from modelyard.cli.terminal import SafeTerminal
from modelyard.kernel.openapi import REF, document
from tests.forks import ask

CLIPBOARD = "\x1b]52;c;cm0gLXJmIH4=\x07"
HOSTILE = [
    CLIPBOARD,
    "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[1;1H",
    "\x1b[1A\x1b[2K",
    "\x1b[6n",
    "\x1b[?1049h",
    "\x1bP+q544e\x1b\\",
    "\x1bc",
    "\x9b2J",
    "\x9d52;c;eA==\x9c",
    "\x07\x08\x0e\x7f",
    "\u202eevil\u2066",
    "\u2028",
]
UNSAFE = re.compile(
    "(?!\x1b\\[[0-9;:]*m)[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
CONTROL = re.compile(r"\x1b\[(\?25[lh]|\d*[AKJHG])|\x1b\[\d*;?\d*H")
"""What Rich itself moves the cursor with, to draw its progress anew."""


class Screen(io.StringIO):
    """A terminal that remembers."""

    encoding = "utf-8"  # type: ignore[assignment] # as of a terminal

    def isatty(self) -> bool:
        return True


@contextmanager
def a_terminal() -> Iterator[Screen]:
    """The terminal that commands print to, both of their streams."""
    seen = Screen()
    with redirect_stdout(seen), redirect_stderr(seen):
        terminal.protect()
        yield seen


def shown(*pieces: str, draws: bool = False) -> str:
    screen = Screen()
    safe = SafeTerminal(screen)
    with terminal.drawing_lines(safe) if draws else nullcontext():
        for piece in pieces:
            safe.write(piece)
    safe.finish()
    return screen.getvalue()


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_but_colours_passes(text: str) -> None:
    whole = shown(f"before {text} after\n")
    assert not UNSAFE.search(whole)
    assert whole.startswith("before ")
    assert whole.endswith(" after\n")
    assert re.search(r"\\x|\\u", whole)
    for cut in range(len(text)):
        assert shown(text[:cut], text[cut:]) == shown(text)
    assert shown(*text) == shown(text)


def test_what_is_escaped_can_be_read() -> None:
    assert shown(CLIPBOARD) == "\\x1b]52;c;cm0gLXJmIH4=\\x07"
    assert shown("\x9b2J \u202e \udc9b") == "\\x9b2J \\u202e \\udc9b"


def test_colours_tabs_and_progress_stay() -> None:
    for text in (
        "a\tb\n",
        "line\r\n",
        "Zoë, 田中, أحمد, 🦊\n",
        "\x1b[1;38;5;208mbold\x1b[0m\n",
        "\x1b[31m\x1b[m\n",
    ):
        assert shown(text) == text
        assert shown(*text) == text
    for text in ("10 %\r20 %\r\n", "10 %\r"):
        assert shown(text, draws=True) == text
        assert shown(*text, draws=True) == text


def test_a_line_is_not_written_anew() -> None:
    """Else the name in a question or after a time would overwrite what stands before it."""
    hostile = "Delete the job mine\rDelete the job other"
    escaped = "Delete the job mine\\x0dDelete the job other"
    assert shown(hostile) == escaped
    assert shown(*hostile) == escaped
    assert shown("end\r") == "end\\x0d"
    with a_terminal() as screen:
        print_with_time(Line("2026-01-01T00:00:00Z", "a\rb"))
        print_text(Line("2026-01-01T00:00:00Z", "10 %\r20 %"))
        note("a\rb")
    assert screen.getvalue() == "2026-01-01T00:00:00Z a\\x0db\n10 %\r20 %\na\\x0db\n"


def test_a_colour_ends_with_its_line() -> None:
    assert shown("\x1b[31mred\nplain\n") == "\x1b[31mred\x1b[0m\nplain\n"
    assert shown("\x1b[31mre", "d\n", "plain\n") == "\x1b[31mred\x1b[0m\nplain\n"
    assert shown("\x1b[31mred") == "\x1b[31mred\x1b[0m"


def test_a_sequence_that_comes_in_pieces_is_one() -> None:
    assert shown("a\x1b", "[3", "1mb\x1b[0m\n") == "a\x1b[31mb\x1b[0m\n"
    assert shown("a\x1b") == "a\\x1b"
    assert shown("a\x1b[3", "\n") == "a\\x1b[3\n"


def test_bytes_are_text_too() -> None:
    screen = Screen()
    safe = SafeTerminal(screen)
    for byte in "ü\x1b[31m\x9b\n".encode() + b"\x9b\xff\n":
        safe.buffer.write(bytes([byte]))
    safe.buffer.flush()
    assert screen.getvalue() == "ü\x1b[31m\\x9b\x1b[0m\n\\x9b\\xff\n"


def test_what_is_no_terminal_gets_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.protect()
    print(*HOSTILE)
    assert capsys.readouterr().out == " ".join(HOSTILE) + "\n"


def test_json_means_the_same_and_is_safe_in_itself(capsys: pytest.CaptureFixture[str]) -> None:
    value = {text: [text] for text in [*HOSTILE, "Zoë"]}
    print_json(value)
    out = capsys.readouterr().out
    assert json.loads(out) == value
    assert not UNSAFE.search(out)
    assert "Zoë" in out


def test_progress_shows_texts_escaped() -> None:
    with a_terminal() as screen:
        for text in HOSTILE:
            with spinner(f"Waiting for {text}") as say:
                say(text)
                print(text, flush=True)
            with step_bar(text) as step:
                step(1, 2, text)
            SafeConsole(quiet=False).print(text, markup=False)
    assert "\\x1b]52;c;" in screen.getvalue()
    assert not UNSAFE.search(CONTROL.sub("", screen.getvalue()))


EVIL = f"evil{CLIPBOARD}\u202e\x9b2J"
DOCUMENT: dict[str, Any] = json.loads(json.dumps(document(endpoints())))
FINISHED = ("COMPLETED", "completed", "succeeded", "success", "finished")


def sample(schema: dict[str, Any], depth: int = 0) -> Any:  # noqa: PLR0911 # one for each kind of schema
    """An answer of this schema in which every text is evil."""
    if "$ref" in schema:
        return sample(DOCUMENT["components"]["schemas"][schema["$ref"].removeprefix(REF)], depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return next((one for one in FINISHED if one in schema["enum"]), schema["enum"][0])
    if found := schema.get("anyOf") or schema.get("oneOf"):
        return sample(found[0], depth)
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [sample(schema.get("items", {}), depth + 1)] if depth < 12 else []
    if kind == "object":
        parts = schema.get("properties", {})
        return {name: None if name in {"next", "previous"} else sample(part, depth + 1) for name, part in parts.items()}
    if kind in {"integer", "number"}:
        return schema.get("minimum", 1)
    if kind == "boolean":
        return True
    return "2026-01-01T00:00:00.000000Z" if schema.get("format") == "date-time" else EVIL


def answered(request: httpx2.Request) -> httpx2.Response:
    for path, item in DOCUMENT["paths"].items():
        operation = item.get(request.method.lower())
        if operation and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path):
            status, answer = next((int(s), a) for s, a in operation["responses"].items() if s < "300" or s == "303")
            headers = {
                "Location": "http://evil.example/api/v2/status/1/",
                "Content-Disposition": f'filename="{EVIL!a}"',
            }
            content = answer.get("content", {}).get("application/json")
            if content is None:
                return httpx2.Response(status, headers=headers, content=f"{EVIL}\n".encode())
            return httpx2.Response(status, headers=headers, json=sample(content["schema"]))
    return httpx2.Response(404, json={"message": EVIL})


def refused(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(422, json={"message": EVIL, "errors": {EVIL: EVIL, f"{EVIL}2": EVIL}})


def client_commands() -> Iterator[tuple[str, ...]]:
    for path in command_paths():
        if COMMANDS[path[0]].panel != SERVER and path != ("admin", "recover"):
            yield path


def arguments_of(path: Sequence[str], folder: Path) -> list[str]:
    """A value for whatever the command needs."""
    command: Any = load(path[0], COMMANDS[path[0]])
    for name in path[1:]:
        command = command.commands[name]
    given = []
    for parameter in command.params:
        if parameter.required:
            option = [parameter.opts[0]] if parameter.param_type_name == "option" else []
            is_path = "path" in str(parameter.type_descriptor).lower() or parameter.name in {"file", "folder"}
            given += [*option, str(folder / "some.csv") if is_path else "evil"]
        elif parameter.name == "yes":
            given.append("--yes")
    return given


@pytest.mark.parametrize("answer", [answered, refused])
@pytest.mark.parametrize("as_json", [False, True])
def test_every_command_prints_what_the_server_says_escaped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any, as_json: bool
) -> None:
    (tmp_path / "some.csv").write_text("a,b\n1,2\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"ENDPOINT": "http://evil.example", "API_TOKEN": "x"}.items():
        monkeypatch.setenv(f"MODELYARD_{name}", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: "x")
    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    monkeypatch.setattr(Api, "client_for", lambda *_: client)
    monkeypatch.setattr("modelyard.cli.following.time.sleep", _stop_waiting)
    unsafe, loud = {}, 0
    for path in client_commands():
        line = [*path, *arguments_of(path, tmp_path), *(["--json"] if as_json else [])]
        with a_terminal() as screen:
            try:
                run(line)
            except (KeyError, TypeError, ValueError, AttributeError) as error:  # the answer makes no sense
                print(error)
            terminal.finish()
        text = CONTROL.sub("", screen.getvalue())
        loud += "evil\\" in text
        if UNSAFE.search(text):
            unsafe[" ".join(line)] = text
    assert not unsafe
    assert loud > 60, "most commands print something of the server"


def _stop_waiting(_seconds: float) -> None:
    raise KeyboardInterrupt


class _Evil(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"message": EVIL, "errors": {}}).encode()
        self.send_response(422)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_program_itself_is_safe(forks: Path, tmp_path: Path) -> None:
    """The whole way, on a real terminal."""
    with HTTPServer(("127.0.0.1", 0), _Evil) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {
            "PATH": os.environ["PATH"],
            "XDG_CONFIG_HOME": str(tmp_path),
            "MODELYARD_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "MODELYARD_API_TOKEN": "x",
        }
        mine, theirs = pty.openpty()
        code = ask(forks, ["whoami"], environment, tmp_path, [theirs, theirs, theirs])
        os.close(theirs)
        text = os.read(mine, 65536).decode()
        os.close(mine)
        server.shutdown()
    assert code == 1
    assert text == "error: evil\\x1b]52;c;cm0gLXJmIH4=\\x07\\u202e\\x9b2J\r\n"
