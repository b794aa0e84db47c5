"""Builds that have little to do: the image is there already, or everything that it is made of has been downloaded."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.journeys.story import PLAIN_PYTHON

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import CACHE_DIR, Installation, an_installation
from benchmarks.requests import Client

WARM = 10
NEW_SETS = 3
REQUIREMENTS = ("scikit-learn>=1.5", "pandas")
POLL_S = 0.002


def measure() -> list[Result]:
    with an_installation() as installation, Client(installation.server.port, installation.token) as client:
        _build(client, _version(installation, requirements(0)))
        warm = interleaved(WARM, lambda: _build(client, _version(installation, requirements(0))) * 1000)[0]
        salt = iter(range(time.time_ns(), time.time_ns() * 2))
        new, uv = interleaved(
            NEW_SETS, lambda: _build(client, _version(installation, requirements(next(salt)))), _install_with_uv
        )
    return [
        Figure("warm build, from the request to its success", warm, "ms", 50),
        Figure("new requirements, all in the cache", new, "s", 3.0, uv, "uv venv and install, without bytecode"),
    ]


def requirements(salt: int) -> str:
    """Requirements that name the same packages for every ``salt``, and are another set to whoever compares them."""
    return "\n".join([*REQUIREMENTS, f"scikit-learn!=0.0.{salt}"]) + "\n"


def _version(installation: Installation, text: str) -> dict[str, str]:
    story = installation.story
    model = story.a_model()
    files = {"custom.py": "def load_model(code_dir):\n    return 1\n", "requirements.txt": text}
    return story.a_version(model["id"], files, PLAIN_PYTHON)


def _build(client: Client, version: dict[str, str]) -> float:
    """The seconds from asking for a build to seeing its success."""
    path = f"/api/v2/customModels/{version['customModelId']}/versions/{version['id']}/dependencyBuild/"
    start = time.perf_counter()
    client.ask("POST", path).json(202)
    while True:
        found = client.ask("GET", path).json(200)
        if found["buildStatus"] == "success":
            return time.perf_counter() - start
        assert found["buildStatus"] in {"submitted", "processing"}, found
        time.sleep(POLL_S)


def _install_with_uv() -> float:
    """The seconds that uv alone takes for the same packages out of the same cache."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    with tempfile.TemporaryDirectory(dir=CACHE_DIR) as folder:
        start = time.perf_counter()
        place = ["--cache-dir", str(CACHE_DIR / "cache" / "uv")]
        subprocess.run([uv, "venv", "--quiet", *place, folder, "--clear", "--python", sys.executable], check=True)
        install = [uv, "pip", "install", "--quiet", *place, "--python", f"{folder}/bin/python", *REQUIREMENTS]
        subprocess.run(install, check=True)
        return time.perf_counter() - start
