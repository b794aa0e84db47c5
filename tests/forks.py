"""``modelyard`` from a process that has imported it already, which takes longest of what a command takes.

``python -m tests.forks SOCKET`` is that process. Each command is a fork of it, with the caller's arguments, variables,
folder and files. ``SHIM`` is the program that asks it to, in place of the one in the virtual environment.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

MAX_REQUEST = 1 << 20
SHIM = """#!{python} -IS
import json, os, socket, sys
asked = socket.socket(socket.AF_UNIX)
asked.connect({path!r})
request = json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(asked, [len(request).to_bytes(4, "big")], [0, 1, 2])
asked.sendall(request)
sys.exit(int(asked.recv(16) or 70))
"""


@contextmanager
def running(folder: Path) -> Iterator[Path]:
    """The process, for as long as the block takes; its socket."""
    path = folder / "forks.sock"
    process = subprocess.Popen([sys.executable, "-m", "tests.forks", str(path)], stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(path), what="the command line to be imported")
        yield path
    finally:
        process.kill()
        process.wait()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        return tried.connect_ex(str(path)) == 0


def ask(path: Path, arguments: Sequence[str], environment: Mapping[str, str], folder: Path, files: list[int]) -> int:
    """Has a command run with these open files as its standard ones; its exit code."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(path))
        request = json.dumps([list(arguments), dict(environment), str(folder)]).encode()
        socket.send_fds(asked, [len(request).to_bytes(4, "big")], files)
        asked.sendall(request)
        return int(asked.recv(16) or 70)


def main(path: str) -> None:
    program = importlib.import_module("modelyard.cli.main")
    for module in pkgutil.iter_modules(importlib.import_module("modelyard.cli").__path__):
        importlib.import_module(f"modelyard.cli.{module.name}")
    for heavy in ("httpx2", "rich.console", "rich.table", "rich.progress", "yaml"):
        importlib.import_module(heavy)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the commands
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        while True:
            asked, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _serve(program, asked)
            asked.close()


def _serve(program: Any, asked: socket.socket) -> None:
    """Waits for one command, and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(asked, 4, 3)
    if not files:
        os._exit(0)  # somebody only asked whether there is an answer
    request = b""
    while len(request) < int.from_bytes(length, "big"):
        request += asked.recv(MAX_REQUEST)
    child = os.fork()
    if child == 0:
        asked.close()
        os._exit(_run(program, *json.loads(request), files))
    _, status = os.waitpid(child, 0)
    asked.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _run(program: Any, arguments: list[str], environment: dict[str, str], folder: str, files: list[int]) -> int:
    for target, file in enumerate(files):
        os.dup2(file, target)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["modelyard", *arguments]
    try:
        program.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 # as the interpreter does
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = code or 1
    return code


if __name__ == "__main__":
    main(sys.argv[1])
