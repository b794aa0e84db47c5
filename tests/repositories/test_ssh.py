"""Pulling over ssh, from a real server with a key of its own."""

import getpass
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import Installation
from tests.credentials.builders import a_credential
from tests.repositories.builders import a_remote, paths_of, pulled, refused
from tests.repositories.git_server import GitServer
from tests.servers import a_free_port
from tests.waiting import wait_until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
PHRASE = "open-sesame"


def a_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def private(key: Ed25519PrivateKey, phrase: str | None = None) -> str:
    lock = serialization.BestAvailableEncryption(phrase.encode()) if phrase else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8 if phrase else serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, lock).decode()


def public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


@dataclass
class Gate:
    """An ssh server that lets ``key`` in."""

    folder: Path
    port: int
    key: Ed25519PrivateKey
    process: "subprocess.Popen[bytes] | None" = None

    def open(self) -> None:
        """Starts it, with a host key of its own each time."""
        host_key = self.folder / "host"
        host_key.write_text(private(a_key()))
        host_key.chmod(0o600)
        (self.folder / "allowed").write_text(public(self.key) + "\n")
        lines = [
            "ListenAddress 127.0.0.1",
            f"Port {self.port}",
            f"HostKey {host_key}",
            f"AuthorizedKeysFile {self.folder / 'allowed'}",
            f"PidFile {self.folder / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
        ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(SSHD), "-D", "-e", "-f", str(self.folder / "config")], stderr=log, stdin=subprocess.DEVNULL
            )
        wait_until(self._answers, what="sshd")

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    if SSHD is None:
        pytest.skip("there is no ssh server here: 'apt-get install openssh-server'")
    if getpass.getuser() == "root":
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in
    (tmp_path / "ssh").mkdir()
    gate = Gate(tmp_path / "ssh", a_free_port(), a_key())
    gate.open()
    yield gate
    gate.close()


@pytest.mark.parametrize("phrase", [None, PHRASE])
def test_a_key_opens_a_repository(
    installation: Installation, server: GitServer, gate: Gate, phrase: str | None
) -> None:
    sha = server.a_repository().commit({"custom.py": b"x"})
    fields = {"privateKey": private(gate.key, phrase)} | ({"passphrase": phrase} if phrase else {})
    credential = a_credential(installation.api, "key", credentialType="rsa", **fields)["credentialId"]
    location = f"ssh://{getpass.getuser()}@127.0.0.1:{gate.port}{server.root}/churn.git"
    remote = a_remote(installation.api, location, credentialId=credential)
    for _ in range(2):
        version = pulled(installation, remote["id"], sourcePath="custom.py")
        assert (paths_of(version), version["items"][0]["commitSha"]) == (["custom.py"], sha)
    data_dir = installation.application.settings.data_dir
    assert f"[127.0.0.1]:{gate.port}" in (data_dir / "ssh_known_hosts").read_text()
    gate.close()
    gate.open()
    assert "host's key is not the one that it had before" in refused(installation, remote["id"])


def test_a_wrong_key_and_no_key(installation: Installation, server: GitServer, gate: Gate) -> None:
    server.a_repository().commit({"custom.py": b"x"})
    location = f"ssh://{getpass.getuser()}@127.0.0.1:{gate.port}{server.root}/churn.git"
    api = installation.api
    wrong = a_credential(api, "key", credentialType="rsa", privateKey=private(a_key()))["credentialId"]
    broken = a_credential(api, "broken", credentialType="rsa", privateKey="no key")["credentialId"]
    locked = a_credential(api, "locked", credentialType="rsa", privateKey=private(gate.key, PHRASE))["credentialId"]
    for credential, text in ((wrong, "refuses the login"), (None, "refuses the login")):
        assert text in refused(installation, a_remote(api, location, credentialId=credential)["id"])
    for credential in (broken, locked):
        message = refused(installation, a_remote(api, location, credentialId=credential)["id"])
        assert "private key of the credential" in message


def test_a_host_that_is_not_there_is_named(an_installation: Callable[..., Installation]) -> None:
    nowhere = "255.255.255.255"
    installation = an_installation(allowed_private_hosts=(nowhere,), pull_timeout_s=20)
    remote = a_remote(installation.api, f"ssh://git@{nowhere}/churn.git")
    assert f"ssh: connect to host {nowhere} port 22: " in refused(installation, remote["id"])
