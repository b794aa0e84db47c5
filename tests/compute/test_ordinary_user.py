"""The same machinery when the server is not root: run by another user, with the machine's own Python."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import modelyard
from modelyard.compute.isolation import Isolation
from tests.compute.hiding import ATTACKS, MEASURED, MEMORY_ATTACKS, OUT_OF_MEMORY, UNMEASURABLE, UNMEASURED
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("ordinary_user")  # one story, told once
UID = 12345
HIDING = {"attacks": ATTACKS, "unmeasurable": UNMEASURABLE, "files in memory": MEMORY_ATTACKS}
STORY = """
import json, os, sys, time
from pathlib import Path
from modelyard.compute.isolation import probe
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import MIB, Kind, Limits, Network, Workload

root = Path(sys.argv[1])
isolation = probe()
executor = ProcessExecutor(root / "workloads", root / "run", isolation)
answers = {"sandbox": isolation.is_sandboxed, "door": isolation.api_only.is_available}

def run(name, script, **options):
    executor.start(Workload(id=name, kind=Kind.RUN, command=("/usr/bin/python3", "-c", script), **options))
    deadline = time.monotonic() + 20
    while executor.observe(name).is_alive and time.monotonic() < deadline:
        time.sleep(0.01)
    ended = executor.observe(name)
    answers[name] = [ended.exit_code, ended.reason, executor.logs(name).read(times=False).decode()]

run("plain", "import os; print(os.getuid(), os.environ['TOKEN'], sorted(os.listdir('/opt')))",
    secrets={"TOKEN": "hidden"})
run("files", "import os; open('a', 'w').write('x'); os.mkdir('d'); os.chmod('d', 0); print(os.stat('a').st_uid)")
run("memory", "import time\\nheld = []\\nwhile True: held.append(b'x' * 2**22); time.sleep(0.02)",
    limits=Limits(memory_bytes=96 * MIB))
run("bomb", "import os, time\\ntry:\\n  while True: os.fork()\\nexcept OSError: time.sleep(60)",
    limits=Limits(processes=40, time_limit_s=1, grace_s=0))
run("namespaces", "import subprocess as s; print(s.run(['unshare', '-U', 'true'], capture_output=True).returncode)")
if isolation.api_only.is_available:
    run("door", "import os, socket\\nh, p = os.environ['API'].split(':')\\n"
        "print(socket.create_connection((h, int(p))).recv(9))",
        environment={"API": "{api}"}, network=Network.DR_API_ACCESS, api_address=sys.argv[2])
hiding = json.loads(sys.stdin.read())
for kind, scripts in hiding.items():
    limits = Limits(disk_bytes=6 * MIB, memory_bytes=96 * MIB, time_limit_s=30, grace_s=0)
    for number, script in enumerate(scripts.values()):
        executor.start(
            Workload(id=f"{kind[0]}-{number}", kind=Kind.RUN, command=("/usr/bin/python3", "-c", script), limits=limits)
        )
for kind, scripts in hiding.items():
    answers[kind] = {}
    for number, name in enumerate(scripts):
        while executor.observe(f"{kind[0]}-{number}").is_alive:
            time.sleep(0.01)
        printed = executor.logs(f"{kind[0]}-{number}").read(times=False).decode()
        answers[kind][name] = f"{executor.observe(f'{kind[0]}-{number}').reason}; {printed}"
executor.start(Workload(id="killed", kind=Kind.RUN, command=("/bin/sh", "-c", "echo up; sleep 30300303")))
while not executor.logs("killed").size:
    time.sleep(0.01)
os.kill(executor.observe("killed").supervisor_pid, 9)
while executor.observe("killed").is_alive:
    time.sleep(0.01)
answers["killed"] = executor.observe("killed").state
for name in executor.ids():
    executor.remove(name)
answers["left"] = sorted(path.name for path in (root / "workloads").iterdir())
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def told(isolation: Isolation) -> Iterator[dict[str, Any]]:
    """What the story says that another user runs."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    if not Path("/usr/bin/python3").exists() or not isolation.is_sandboxed:
        pytest.skip("the machine has no Python of its own, or no sandbox")
    folder = Path(tempfile.mkdtemp(prefix="ordinary-"))
    folder.chmod(0o755)
    shutil.copytree(Path(modelyard.__file__).parent, folder / "src" / "modelyard")
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    home = folder / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            command = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "/usr/bin/python3", "-c", STORY]
            address = f"127.0.0.1:{server.getsockname()[1]}"
            environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
            with subprocess.Popen(
                [*command, str(home), address],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=home,
            ) as story:
                server.settimeout(30)
                with server.accept()[0] as connection:
                    connection.sendall(b"hello")
                output, errors = story.communicate(json.dumps(HIDING), timeout=120)
        assert story.returncode == 0, errors
        yield json.loads(output)
    finally:
        shutil.rmtree(folder)


def test_sandbox_needs_no_root(told: dict[str, Any]) -> None:
    assert told["sandbox"]
    assert told["plain"] == [0, None, "1000 *** ['work']\n"]


def test_files_are_the_servers_and_can_be_removed(told: dict[str, Any]) -> None:
    assert told["files"] == [0, None, "1000\n"]
    assert told["left"] == [".etc"]


def test_limits_hold_without_control_groups(told: dict[str, Any]) -> None:
    assert told["memory"][1] == "memory limit of 96 MiB exceeded"
    assert told["bomb"][1] == "time limit of 1 s exceeded"


@pytest.mark.parametrize("name", ATTACKS)
def test_hidden_files_count(told: dict[str, Any], name: str) -> None:
    # Only root may follow the links to mapped files; what was seen while it was open is measured.
    assert told["attacks"][name].startswith((MEASURED, UNMEASURED) if name.startswith("a mapping") else MEASURED)


@pytest.mark.parametrize("name", UNMEASURABLE)
def test_what_cannot_be_counted_ends_the_workload(told: dict[str, Any], name: str) -> None:
    assert told["unmeasurable"][name].startswith((UNMEASURED, MEASURED))  # counted where it was seen before


@pytest.mark.parametrize("name", MEMORY_ATTACKS)
def test_files_in_memory_count(told: dict[str, Any], name: str) -> None:
    assert told["files in memory"][name].startswith(OUT_OF_MEMORY)


def test_no_namespaces_inside(told: dict[str, Any], isolation: Isolation) -> None:
    assert isolation.can_forbid_namespaces is (told["namespaces"][2] == "1\n")


def test_door_to_the_api_needs_no_root(told: dict[str, Any]) -> None:
    assert told["door"] == [0, None, "b'hello'\n"]


def test_killed_supervisor_leaves_nothing(told: dict[str, Any]) -> None:
    assert told["killed"] == "lost"

    def is_gone() -> bool:
        return subprocess.run(["pgrep", "-f", "sleep 30300303"], capture_output=True, check=False).returncode == 1

    wait_until(is_gone, 10, "the kernel to end what was inside")
