"""Every command of the README and of the pages works, in the order in which they tell the story."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.cli_reference import PAGE, command_paths, reference

from tests.conftest import ADMIN_TOKEN
from tests.docs.commands import blocks_of
from tests.forks import SHIM
from tests.servers import a_server

ROOT = Path(__file__).parents[2]
STORIES = (
    "README.md",
    "docs/quickstart.md",
    "docs/cli.md",
    "docs/curl.md",
    "docs/credentials.md",
    "docs/custom-metrics.md",
    "docs/events.md",
    "docs/jobs.md",
    "docs/notifications.md",
    "docs/projects.md",
    "docs/repositories.md",
    "docs/tasks.md",
    "docs/templates.md",
    "docs/schedules.md",
)
OF_THE_MACHINE = ("docs/operations.md", "docs/security.md")
"""Pages whose commands install, serve and look after; their commands have tests of their own."""
TIME_LIMIT_S = 300


@pytest.mark.timeout(TIME_LIMIT_S + 60)
@pytest.mark.parametrize("page", STORIES)
def test_every_command_of_a_page_works(page: str, tmp_path: Path, shared_images: dict[str, Path], forks: Path) -> None:
    here = tmp_path / "here"
    shim = tmp_path / "programs" / "modelyard"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(python=sys.executable, path=str(forks)))
    shim.chmod(0o755)
    shutil.copytree(ROOT / "examples", here / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    with a_server(tmp_path / "data", **shared_images) as server:
        script = "\n".join(block.script for block in blocks_of(ROOT / page) if not block.reason)
        script = script.replace("http://localhost:8000", server.url)
        environment = os.environ | {
            "PATH": f"{shim.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "XDG_CONFIG_HOME": str(tmp_path / "user"),
            "MODELYARD_API_TOKEN": ADMIN_TOKEN,
        }
        # what the first start of a server does for its reader
        login = ["modelyard", "login", server.url, "--token", ADMIN_TOKEN]
        subprocess.run(login, env=environment, check=True, capture_output=True)
        if page != "docs/curl.md":
            del environment["MODELYARD_API_TOKEN"]
            environment["MODELYARD_ENDPOINT"] = ""
            script = script.replace("$MODELYARD_API_TOKEN", ADMIN_TOKEN)
        told = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", script],
            env=environment,
            cwd=here,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=TIME_LIMIT_S,
        )
        assert told.returncode == 0, told.stdout[-5000:]


def test_every_page_with_commands_is_run() -> None:
    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    with_commands = {page for page in pages if blocks_of(ROOT / page)}
    assert with_commands <= {*STORIES, *OF_THE_MACHINE}, "a new page with commands: add it to STORIES"


def test_the_command_line_page_names_every_client_command() -> None:
    page = (ROOT / "docs/cli.md").read_text()
    missing = [
        " ".join(path)
        for path in command_paths()
        if f"modelyard {' '.join(path)}" not in page
        and path[0] not in {"up", "api", "gateway", "controller", "ps", "gc", "rekey", "openapi", "admin"}
    ]
    shares = {f"{kind} share" for kind in ("env", "dataset", "registry", "credential")}
    assert set(missing) == shares


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == reference(), "run: python docs/cli_reference.py"
