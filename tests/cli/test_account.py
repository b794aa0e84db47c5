"""Logging in, and which account wins."""

import os
import pty
import stat
import subprocess
import sys
import termios
from pathlib import Path

from tests.cli.conftest import Terminal
from tests.conftest import ADMIN_TOKEN
from tests.servers import Server, a_free_port
from tests.waiting import wait_until


def test_nobody_is_logged_in(alone: Terminal) -> None:
    outcome = alone("whoami")
    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err == (
        "error: no server is known\n"
        "hint: modelyard login URL remembers one; MODELYARD_ENDPOINT and MODELYARD_API_TOKEN name one for a command\n"
    )
    assert alone("model", "list", "--json").error["code"] == 4


def test_login_whoami_logout(alone: Terminal, server: Server) -> None:
    file = alone.folder / "config" / "modelyard" / "config.toml"
    outcome = alone.ok("login", f"{server.url}/api/v2/", "--token", "-", stdin=f"{ADMIN_TOKEN}\n")
    assert outcome.out == f"Logged in to {server.url} as admin. The token is in {file}.\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == f'endpoint = "{server.url}"\ntoken = "{ADMIN_TOKEN}"\n'
    assert alone.ok("whoami").out == (
        f"User           admin\nAdministrator  yes\nServer         {server.url}\nToken from     {file}\n"
    )
    assert alone.ok("whoami", "--json").json["username"] == "admin"
    assert alone.ok("logout").out == f"Forgot the account in {file}.\n"
    assert not file.exists()
    assert alone.ok("logout").out == "You were not logged in.\n"


def test_a_wrong_token_is_not_remembered(alone: Terminal, server: Server) -> None:
    outcome = alone("login", server.url, "--token", "wrong")
    assert outcome.code == 4
    assert outcome.err == (
        f"error: {server.url} does not know the token from the command line\n"
        f"hint: log in again: modelyard login {server.url}\n"
    )
    assert not (alone.folder / "config" / "modelyard").exists()


def test_the_token_is_asked_for_and_not_shown(alone: Terminal, server: Server) -> None:
    mine, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("modelyard")), "login", server.url]
    process = subprocess.Popen(
        command, env=alone.environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    while b"API token" not in shown:
        shown += os.read(mine, 1024)
    wait_until(lambda: not termios.tcgetattr(mine)[3] & termios.ECHO, 20, "a terminal that shows nothing")
    os.write(mine, f"{ADMIN_TOKEN}\n".encode())
    while b"Logged in" not in shown:
        shown += os.read(mine, 1024)
    assert process.wait(20) == 0
    os.close(mine)
    assert ADMIN_TOKEN.encode() not in shown


def test_the_environment_wins(alone: Terminal, server: Server) -> None:
    alone.ok("login", server.url, "--token", ADMIN_TOKEN)
    alone.token = "another"
    outcome = alone("whoami")
    assert outcome.code == 4
    assert "MODELYARD_API_TOKEN" in outcome.err
    alone.token = ""
    alone.endpoint = f"http://127.0.0.1:{a_free_port()}"
    outcome = alone("whoami")
    assert (outcome.code, outcome.err.splitlines()[0]) == (4, f"error: no token for {alone.endpoint} is known")


def test_no_server_answers(alone: Terminal) -> None:
    alone.endpoint, alone.token = f"http://127.0.0.1:{a_free_port()}", "token"
    outcome = alone("model", "list")
    assert outcome.code == 1
    assert outcome.err == (
        f"error: no server answers at {alone.endpoint}\n"
        "hint: modelyard up starts one on this machine; modelyard login URL chooses another\n"
    )


def test_a_broken_configuration_is_told(alone: Terminal) -> None:
    file = alone.folder / "config" / "modelyard" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("endpoint = ")
    outcome = alone("whoami")
    assert outcome.code == 1
    assert outcome.err.startswith(f"error: {file} is no valid TOML: ")
    assert alone("login", "ftp://somewhere", "--token", "x").code == 2
