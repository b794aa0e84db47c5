"""What a workload may leave in its folder for the server to trip over."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.compute.services.readiness import own_reason
from modelyard.compute.shared_files import connectable, read_regular, refuse_descriptors
from modelyard.compute.unix_http import ask_once


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    path = folder / "s.sock"
    server = socket.socket(socket.AF_UNIX)
    _bind_inside(server, folder)
    server.listen()
    yield path
    server.close()


def _bind_inside(server: socket.socket, folder: Path) -> None:
    descriptor = os.open(folder, os.O_PATH)
    server.bind(f"/proc/self/fd/{descriptor}/s.sock")
    os.close(descriptor)


def test_a_socket_is_reached_however_long_its_path(listening: Path) -> None:
    with connectable(listening) as address, socket.socket(socket.AF_UNIX) as client:
        client.connect(address)


def test_a_link_in_a_sockets_place_is_not_followed(listening: Path, tmp_path: Path) -> None:
    link = tmp_path / "server.sock"
    link.symlink_to(listening)
    with pytest.raises(OSError):
        ask_once(link, "GET", "/", timeout_s=1)
    (tmp_path / "plain").write_text("x")
    with pytest.raises(FileNotFoundError):
        ask_once(tmp_path / "plain", "GET", "/", timeout_s=1)


def test_a_reason_is_read_from_a_file_and_from_nothing_else(tmp_path: Path) -> None:
    reason = tmp_path / "failure.json"
    reason.write_text('{"message": "no weights"}')
    assert own_reason(tmp_path) == "no weights"
    secret = tmp_path / "secret.json"
    reason.rename(secret)
    reason.symlink_to(secret)
    assert own_reason(tmp_path) is None
    reason.unlink()
    os.mkfifo(reason)
    assert own_reason(tmp_path) is None
    with pytest.raises(FileNotFoundError):
        read_regular(reason, 10)


def test_a_workload_cannot_send_descriptors_to_who_asks_it() -> None:
    """They would wait in our socket, where no disk limit counts them; the kernel refuses them since Linux 6.16."""
    sender, ours = socket.socketpair()
    with sender, ours:
        is_refused = refuse_descriptors(ours)
        assert is_refused is (_kernel() >= (6, 16))
        try:
            socket.send_fds(sender, [b"x"], [0])
        except PermissionError:
            assert is_refused
        else:
            assert not is_refused


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
