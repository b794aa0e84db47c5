"""Writes the locks of the built-in environments anew: ``python -m modelyard.environments.builtin.relock``.

Run it after changing a definition's or the runner's requirements. A lock serves every supported Python and platform.
"""

import subprocess
import tempfile
from pathlib import Path

import uv

from modelyard.environments.builtin import LOCK_FILE, definition_folders
from modelyard.environments.images.runner_files import find_runner

OLDEST_PYTHON = "3.11"
NOT_INSTALLED = ("nvidia-nccl-cu12", "nvidia-nccl-cu13")
"""XGBoost asks for hundreds of megabytes that only training on several GPUs needs, and loads them only then."""


def main() -> None:
    runner_requirements = find_runner().requirements
    for folder in definition_folders():
        requirements = (folder / "requirements.txt").read_text()
        if "--extra-index-url" not in requirements:  # its wheels differ by platform: no lock can serve all
            (folder / LOCK_FILE).write_text(_locked(requirements + runner_requirements))


def _locked(requirements: str) -> str:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "requirements.in")
        file.write_text(requirements)
        options = ["--universal", "--python-version", OLDEST_PYTHON, "--generate-hashes", "--no-config", "--quiet"]
        options += ["--no-header", "--no-annotate", "--no-emit-index-url", "--only-binary", ":all:"]
        for package in NOT_INSTALLED:
            options += ["--no-emit-package", package]
        argv = [uv.find_uv_bin(), "pip", "compile", *options, str(file)]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
