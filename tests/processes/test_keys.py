"""The key of the secrets as those who run the server meet it: made at the first start, changed, wrong, lost."""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Installation
from tests.credentials.builders import a_credential

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command of the machine on a data directory."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
        program = Path(sys.executable).with_name("modelyard")
        command = [program, *arguments, "--data-dir", str(tmp_path / "data")]
        return subprocess.run(
            command, env=kept | variables, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
        )

    return run


@pytest.fixture
def with_a_credential(an_installation: Callable[..., Installation], tmp_path: Path) -> Path:
    """A data directory with a credential and the key that it was encrypted with; the key's file."""
    database = {"database_url": f"sqlite:///{tmp_path / 'data' / 'modelyard.db'}"}
    a_credential(an_installation(data_dir=tmp_path / "data", **database).api)
    return tmp_path / "data" / "secret.key"


def test_a_key_is_changed(with_a_credential: Path, command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert stat.S_IMODE(with_a_credential.stat().st_mode) == 0o600
    old = with_a_credential.read_text()
    with_a_credential.write_text(f"{NEW}\n{old}")
    done = command("rekey", "--json")
    assert json.loads(done.stdout)["encrypted"] == 1, done.stderr
    with_a_credential.write_text(NEW)
    assert "Encrypted 0 credentials" in command("rekey").stdout
    assert "ok       keys of secrets" in command("doctor").stdout


def test_a_lost_key_is_told(with_a_credential: Path, command: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    with_a_credential.unlink()
    told = command("doctor", MODELYARD_SECRET_KEYS=NEW).stdout
    assert "MISSING  keys of secrets" in told
    assert "restore secret.key" in told
    refused = command("rekey", MODELYARD_SECRET_KEYS=NEW)
    assert refused.returncode == 1
    assert "MODELYARD_SECRET_KEYS" in refused.stderr
    assert "nothing was changed" in refused.stderr


@pytest.mark.parametrize("role", ["api", "controller", "up"])
def test_a_wrong_key_keeps_the_server_from_starting(
    role: str, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    refused = command(role, MODELYARD_SECRET_KEYS=f"{OLD},top-secret", MODELYARD_API_URL="http://127.0.0.1:8000")
    assert refused.returncode == 1
    assert "entry 2 of the setting MODELYARD_SECRET_KEYS is no key" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "top-secret" not in refused.stderr
