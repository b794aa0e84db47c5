"""An executor in a temporary folder, and an image to run Python code with."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.compute.isolation import Isolation, without_sandbox
from modelyard.compute.process_executor import ProcessExecutor
from tests.compute.workshop import Workshop


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment."""
    folder = tmp_path_factory.mktemp("image") / "image"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture
def workshop(tmp_path: Path, isolation: Isolation, image: Path) -> Iterator[Workshop]:
    """Workloads in a real sandbox."""
    if not isolation.is_sandboxed:
        pytest.skip(f"no sandbox here: {isolation.sandbox.why}")
    shop = Workshop(ProcessExecutor(tmp_path / "workloads", tmp_path / "run", isolation), image, tmp_path / "code")
    shop.folder.mkdir()
    yield shop
    shop.clear()


@pytest.fixture
def bare_workshop(tmp_path: Path, image: Path) -> Iterator[Workshop]:
    """Workloads without a sandbox."""
    executor = ProcessExecutor(tmp_path / "workloads", tmp_path / "run", without_sandbox())
    shop = Workshop(executor, image, tmp_path / "code")
    shop.folder.mkdir()
    yield shop
    shop.clear()
