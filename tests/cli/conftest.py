"""The command line as its users have it: a process of its own, against a server in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ADMIN_TOKEN
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


@dataclass
class Terminal:
    """Runs ``modelyard`` with an account and a folder to work in."""

    folder: Path
    endpoint: str = ""
    token: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str | Path, stdin: str = "") -> Outcome:
        found = subprocess.run(
            [Path(sys.executable).with_name("modelyard"), *arguments],
            env=self.environment(),
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Outcome(found.returncode, found.stdout, found.stderr)

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
def modelyard(server: Server, tmp_path: Path) -> Terminal:
    """The administrator's terminal."""
    return Terminal(tmp_path, server.url, ADMIN_TOKEN)


@pytest.fixture
def alone(tmp_path: Path) -> Terminal:
    """A terminal without any server."""
    return Terminal(tmp_path)
