"""``modelyard up``: readiness, restarts, endings and refusals."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.servers import Server, a_server
from tests.waiting import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with a_server(tmp_path / "data") as server:
        yield server


def run(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "modelyard.cli.main", *words]
    if "--data-dir" not in words:
        command += ["--data-dir", str(server.data_dir)]
    return subprocess.run(command, env=server.environment, capture_output=True, text=True, timeout=60, check=False)


def test_each_role_is_started_again_when_it_is_killed(server: Server) -> None:
    assert server.api.get("/account/info/").status_code == 200
    for role in ("api", "gateway", "controller"):
        server.kill(role)
        assert f"The {role} ended (signal 9)" in server.log()
    assert server.api.get("/account/info/").status_code == 200


def test_it_ends_in_order(server: Server) -> None:
    pids = [pid for role in ("api", "gateway", "controller") for pid in server.pids(role)]
    assert len(pids) == 3
    assert server.stop() == 0
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert list((server.data_dir / "processes").iterdir()) == []
    server.start()
    assert server.api.get("/account/info/").status_code == 200


def test_when_it_is_killed_its_processes_end_and_it_starts_again(server: Server) -> None:
    pids = [pid for role in ("api", "gateway", "controller") for pid in server.pids(role)]
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    wait_until(lambda: not [pid for pid in pids if psutil.pid_exists(pid)], 30, "its processes to end")
    server.start()
    assert server.api.get("/account/info/").status_code == 200


def test_two_on_one_folder_are_one_too_many(server: Server) -> None:
    second = run(server, "up", "--data-dir", str(server.data_dir), "--port", "1", "--gateway-port", "2")
    assert second.returncode == 1
    assert "already running" in second.stderr
    assert server.process is not None
    assert str(server.process.pid) in second.stderr


def test_a_taken_port_is_named_with_its_option(server: Server, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        second = run(server, "up", "--data-dir", str(tmp_path / "other"), "--gateway-port", port)
    assert second.returncode == 1
    assert "--gateway-port" in second.stderr
    assert port in second.stderr


def test_ps_says_that_nothing_runs(server: Server, tmp_path: Path) -> None:
    told = run(server, "ps", "--data-dir", str(tmp_path))
    assert (told.returncode, told.stdout) == (0, "")
    assert str(tmp_path) in told.stderr


def test_ps_and_doctor_tell_what_there_is(server: Server) -> None:
    listed = run(server, "ps").stdout
    for role in ("api", "gateway", "controller"):
        assert str(server.pids(role)[0]) in listed
    told = run(server, "doctor").stdout
    assert "sandbox" in told
    assert "database (sqlite)" in told


def test_the_token_is_stored_in_no_readable_file(server: Server) -> None:
    config = Path(server.environment["XDG_CONFIG_HOME"]) / "modelyard" / "config.toml"
    assert not config.exists(), "a bootstrap token is not written down"
    token = server.environment["MODELYARD_BOOTSTRAP_TOKEN"]
    for path in server.data_dir.rglob("*"):
        if path.is_file():
            assert token.encode() not in path.read_bytes(), path
    assert token not in server.log()
    assert httpx.get(f"{server.url}/api/v2/account/info/").status_code == 401
