"""The same verbs on a machine without a sandbox, and what each kind of machine is said to give."""

import json
import shutil
from pathlib import Path

import pytest

from modelyard.compute.executor import State
from modelyard.compute.isolation import Isolation, probe, without_sandbox
from modelyard.compute.workload import MIB, Limits, Network
from tests.compute.workshop import Workshop, command_lines


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
    environment, folder, script, prefix = json.loads(text)
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
    assert bare_workshop.text(workload_id) == "no-such-program: No such file or directory\n"


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
    isolation = probe()
    assert not isolation.is_sandboxed
    assert isolation.sandbox.why == "the program bwrap (bubblewrap) is missing"
    assert "install bubblewrap" in isolation.sandbox.remedy
    broken = only / "bwrap"
    broken.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n", encoding="ascii")
    broken.chmod(0o755)
    assert "No permissions to create new namespace" in probe().sandbox.why


def test_probe_finds_what_is_there(isolation: Isolation) -> None:
    assert isolation.is_sandboxed is (shutil.which("bwrap") is not None)
    for ability in isolation.abilities():
        assert ability.is_available is not bool(ability.why)
        assert ability.is_available is not bool(ability.remedy)
