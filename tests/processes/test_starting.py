"""Starts that go wrong are one line, and starts beside each other go well."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from modelyard.kernel.settings import Settings
from tests.conftest import ADMIN_TOKEN
from tests.servers import a_free_port
from tests.waiting import wait_until


def environment_of(folder: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    named = {f"MODELYARD_{name.upper()}": value for name, value in settings.items()}
    return kept | named | {"XDG_CONFIG_HOME": str(folder / "config"), "HOME": str(folder)}


def refused(folder: Path, *words: str, **settings: str) -> str:
    """The one line that a start ends with."""
    command = [sys.executable, "-m", "modelyard.cli.main", *words]
    done = subprocess.run(
        command,
        env=environment_of(folder, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    first, *more = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert len(more) <= 1, "what to do"
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"log_level": "LOUD"}, ["MODELYARD_LOG_LEVEL", "'INFO'"]),
        ({"port": "many"}, ["MODELYARD_PORT", "integer"]),
        ({"api_url": "8000"}, ["MODELYARD_API_URL", "http://host:8000"]),
        ({"database_url": "mysql://localhost/x"}, ["MODELYARD_DATABASE_URL", "postgresql://"]),
        (
            {"database_url": "postgres://somebody:my-secret@127.0.0.1:1/nothing"},
            ["somebody:***@127.0.0.1:1/nothing", "refused", "MODELYARD_DATABASE_URL"],
        ),
        ({"data_dir": "/proc/modelyard"}, ["/proc/modelyard", "MODELYARD_DATA_DIR"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_one_line(tmp_path: Path, settings: dict[str, str], words: list[str]) -> None:
    told = refused(tmp_path, "up", **({"data_dir": str(tmp_path / "data")} | settings))
    for word in words:
        assert word in told, told
    assert "my-secret" not in told


def test_a_controller_alone_has_to_know_the_api(tmp_path: Path) -> None:
    assert "set MODELYARD_API_URL" in refused(tmp_path, "controller", data_dir=str(tmp_path / "data"))


def test_folders_are_absolute_and_urls_are_read_as_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = Settings(data_dir=Path("here"), images_dir=Path("~/images"), runtime_dir=Path("run"))
    assert (found.data_dir, found.images_dir, found.runtime_dir) == (
        tmp_path / "here",
        tmp_path / "images",
        tmp_path / "run",
    )
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert Settings(database_url=f"{scheme}://u@h/d").database() == "postgresql+psycopg://u@h/d"
    monkeypatch.setenv("MODELYARD_API_URL", "http://api:9000/")
    monkeypatch.setenv("MODELYARD_GATEWAY_URL", "https://gateway")
    assert (Settings().workloads_api_url(), Settings().forwarding_url()) == ("http://api:9000", "https://gateway")


@pytest.mark.timeout(300)
def test_processes_that_start_together_on_an_empty_database(tmp_path: Path, a_postgres_url: Callable[[], str]) -> None:
    ports = [a_free_port() for _ in range(3)]
    shared = {
        "database_url": a_postgres_url(),
        "data_dir": str(tmp_path / "data"),
        "bootstrap_token": ADMIN_TOKEN,
        "api_url": f"http://127.0.0.1:{ports[0]}",
    }
    roles = [("gateway", {"gateway_port": str(ports[2])}), *(("api", {"port": str(port)}) for port in ports[:2])]
    roles += [("controller", {}), ("controller", {})]
    started = []
    try:
        for role, own in roles:
            log = (tmp_path / f"{len(started)}.log").open("wb")
            command = [sys.executable, "-m", "modelyard.cli.main", role]
            started.append(
                subprocess.Popen(command, env=environment_of(tmp_path, **shared, **own), stdout=log, stderr=log)
            )
        urls = [f"http://127.0.0.1:{port}" for port in ports]

        def are_ready() -> bool:
            assert [one.poll() for one in started] == [None] * 5, [
                (tmp_path / f"{number}.log").read_text()[-2000:] for number in range(5)
            ]
            try:
                return all(httpx.get(f"{url}/readyz", timeout=5).status_code == 200 for url in urls)
            except httpx.TransportError:
                return False

        wait_until(are_ready, 120, "all to be ready")
        time.sleep(1)
        assert are_ready()
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        found = httpx.get(f"{urls[1]}/api/v2/executionEnvironments/", headers=headers).json()
        names = [one["name"] for one in found["data"]]
        assert len(names) == len(set(names)) > 1
    finally:
        for one in started:
            one.kill()
            one.wait()
