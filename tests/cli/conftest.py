"""The command line as its users have it: a process of its own, against a server in processes of its own."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from tests.conftest import ADMIN_TOKEN
from tests.forks import ask
from tests.servers import Server, a_server

ECHO = """
def load_model(code_dir):
    print("loaded")
    return "model"


def score_unstructured(model, data, query, **kwargs):
    return data if isinstance(data, bytes) else data.encode()
"""
ECHO_METADATA = "name: {name}\ntype: inference\ntargetType: unstructured\n"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error of a ``--json`` command."""
        return json.loads(self.err)


def _text(file: IO[bytes]) -> str:
    """All of it, with line ends as a program that reads it as text has them."""
    file.seek(0)
    return io.TextIOWrapper(file, encoding="utf-8").read()


@dataclass
class Terminal:
    """Runs ``modelyard`` with an account and a folder to work in."""

    folder: Path
    forks: Path
    endpoint: str = ""
    token: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Outcome:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            files = [given.fileno(), out.fileno(), err.fileno()]
            code = ask(self.forks, [str(one) for one in arguments], self.environment(), self.folder, files)
            return Outcome(code, *(_text(file) for file in (out, err)))

    def ok(self, *arguments: str | Path, stdin: str = "") -> Outcome:
        """Runs a command that must succeed."""
        outcome = self(*arguments, stdin=stdin)
        assert outcome.code == 0, outcome.out + outcome.err
        return outcome

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
        account = {"MODELYARD_ENDPOINT": self.endpoint, "MODELYARD_API_TOKEN": self.token}
        return kept | account | {"XDG_CONFIG_HOME": str(self.folder / "config"), "COLUMNS": "100"} | self.variables

    def a_model_folder(self, name: str, files: dict[str, str] | None = None) -> Path:
        """A folder with an unstructured model that echoes."""
        folder = self.folder / name.replace(" ", "_")
        folder.mkdir()
        (folder / "custom.py").write_text(ECHO)
        (folder / "model-metadata.yaml").write_text(ECHO_METADATA.format(name=name))
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Server]:
    """One server for all tests of the command line; each makes things of its own names on it."""
    with a_server(tmp_path_factory.mktemp("cli") / "data", **shared_images) as started:
        yield started


@pytest.fixture
def modelyard(server: Server, tmp_path: Path, forks: Path) -> Terminal:
    """The administrator's terminal."""
    return Terminal(tmp_path, forks, server.url, ADMIN_TOKEN)


@pytest.fixture
def alone(tmp_path: Path, forks: Path) -> Terminal:
    """A terminal without any server."""
    return Terminal(tmp_path, forks)
