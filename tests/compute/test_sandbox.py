"""What a workload sees and may do inside: nothing of the server, nothing of the others."""

import json
import os
import socket
from pathlib import Path

import pytest

from modelyard.compute.isolation import WORKLOAD_UIDS, Isolation
from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.workload import Kind, Mount, Network, Workload
from modelyard.kernel.errors import Conflict
from tests.compute.workshop import Workshop, command_lines
from tests.waiting import wait_until

SECRET = "s3cr3t-value-of-a-credential"


def test_secret_reaches_the_environment_and_is_masked_in_the_log(workshop: Workshop) -> None:
    ended, text = workshop.run(
        "import os, sys, time\n"
        f"assert os.environ['TOKEN'] == {SECRET!r}\n"
        "value = os.environ['TOKEN']\n"
        "print('whole', value)\n"
        "sys.stdout.write('halves ' + value[:9]); sys.stdout.flush(); time.sleep(0.1); print(value[9:], 'done')\n"
        "print(os.environ['SHORT'])\n",
        secrets={"TOKEN": SECRET, "SHORT": "abc"},
    )
    assert ended.exit_code == 0, text
    assert text == "whole ***\nhalves *** done\nabc\n"


def test_every_line_of_a_key_is_masked(workshop: Workshop) -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nqwertyuiopasdfgh\n-----END KEY-----\n"
    _, text = workshop.run(
        "import json, os\nkey = os.environ['KEY']\nprint(key)\nprint(key.split()[2])\nprint(json.dumps(key))",
        secrets={"KEY": key},
    )
    assert "MIIEvQ" not in text
    assert "qwerty" not in text


def test_secret_is_on_no_command_line_and_on_no_disk(workshop: Workshop) -> None:
    workload_id = workshop.start(
        "import time\nprint('up')\ntime.sleep(60)", secrets={"TOKEN": SECRET}, environment={"MODE": "quite-public"}
    )
    workshop.wait_for(workload_id, "up")
    assert not [line for line in command_lines() if SECRET in line]
    supervisor_pid = workshop.executor.observe(workload_id).supervisor_pid
    assert SECRET not in Path(f"/proc/{supervisor_pid}/environ").read_bytes().decode()
    files = [path for path in workshop.executor.root.rglob("*") if path.is_file()]
    assert any("quite-public" in path.read_text(encoding="utf-8") for path in files)
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]
    assert (workshop.executor.root / workload_id / "workload.json").stat().st_mode & 0o777 == 0o600


def test_environment_of_the_server_stays_outside(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_DATABASE_URL", "postgresql://secret-of-the-server")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    _, text = workshop.run(
        "import json, os\nprint(json.dumps(dict(os.environ)))\n"
        "for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    try: print(open(f'/proc/{pid}/environ').read())\n"
        "    except OSError: pass\n",
        environment={"CODE": "{code}", "WORK": "{work}", "RUN": "{run}"},
        id="named",
    )
    environment = json.loads(text.splitlines()[0])
    assert environment.pop("LC_CTYPE", "C.UTF-8") == "C.UTF-8"
    assert environment == {
        "CODE": "/opt/code",
        "WORK": "/opt/work",
        "RUN": "/run/modelyard",
        "PATH": "/opt/image/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "VIRTUAL_ENV": "/opt/image",
        "HOME": "/opt/work",
        "PWD": "/opt/work",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "MODELYARD_WORKLOAD_ID": "named",
    }
    assert "secret-of-the-server" not in text


def test_only_its_own_folders_are_there(workshop: Workshop, tmp_path: Path) -> None:
    hidden = tmp_path / "modelyard.db"
    hidden.write_text("rows", encoding="ascii")
    _, text = workshop.run(
        "import json, os, pathlib, subprocess, sys\n"
        "def can(action, *arguments):\n"
        "    try: action(*arguments); return True\n"
        "    except OSError: return False\n"
        "print(json.dumps({\n"
        "    'uid': os.getuid(), 'gid': os.getgid(), 'groups': os.getgroups(), 'cwd': os.getcwd(),\n"
        f"    'data': os.path.exists({str(hidden)!r}), 'root': sorted(os.listdir('/')),\n"
        "    'pids': len([p for p in os.listdir('/proc') if p.isdigit()]),\n"
        "    'homes': [p for p in ('/home', '/var', '/sys', '/mnt') if os.path.exists(p)],\n"
        "    'shadow': os.path.exists('/etc/shadow'),\n"
        "    'status': [l.split() for l in open('/proc/self/status') if l.startswith(('Cap', 'NoNewPrivs'))],\n"
        "    'work': can(pathlib.Path('/opt/work/a').write_text, 'x'),\n"
        "    'tmp': can(pathlib.Path('/tmp/a').write_text, 'x'),\n"
        "    'run': can(pathlib.Path('/run/modelyard/a').write_text, 'x'),\n"
        "    'writable': [p for p in ('/', '/opt', '/opt/code', '/opt/image', '/usr', '/etc', '/dev',\n"
        "         '/proc/sys/kernel', sys.base_prefix) if can(pathlib.Path(p, 'a').write_text, 'x')],\n"
        "    'sysctl': can(pathlib.Path('/proc/sys/kernel/core_pattern').write_text, '|/x'),\n"
        "    'userns': subprocess.run(['unshare', '--user', 'true'], capture_output=True).returncode,\n"
        "    'fds': os.listdir('/proc/self/fd'),\n"
        "    'devices': sorted(os.listdir('/dev')),\n"
        "}))\n",
    )
    seen = json.loads(text)
    assert (seen["uid"], seen["gid"], seen["cwd"]) == (1000, 1000, "/opt/work")
    if os.getuid() == 0:
        assert seen["groups"] == []
    assert not seen["data"]
    assert not seen["shadow"]
    assert seen["homes"] == []
    assert seen["pids"] == 2
    assert seen["status"] == [
        *[[name, "0000000000000000"] for name in ("CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:")],
        ["NoNewPrivs:", "1"],
    ]
    assert (seen["work"], seen["tmp"], seen["run"]) == (True, True, True)
    assert seen["writable"] == []
    assert not seen["sysctl"]
    assert len(seen["fds"]) == 4
    assert "vda" not in seen["devices"]
    if os.getuid() == 0:
        assert seen["userns"] != 0


def test_files_belong_to_nobody_of_the_host(workshop: Workshop) -> None:
    if os.getuid() != 0:
        pytest.skip("only a server that runs as root gives its workloads a user of their own")
    workload_id = workshop.start("open('file', 'w').close()\nimport time; print('made'); time.sleep(60)")
    workshop.wait_for(workload_id, "made")
    file = workshop.executor.work(workload_id) / "file"
    assert file.stat().st_uid in WORKLOAD_UIDS
    supervisor_pid = workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor_pid is not None
    assert Path(f"/proc/{supervisor_pid}").stat().st_uid == 0


def test_mounts_are_shown_as_asked(workshop: Workshop, tmp_path: Path) -> None:
    for name in ("read", "written"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old").write_text("here", encoding="ascii")
    ended, text = workshop.run(
        "print(open('/mnt/data/old').read())\nopen('/opt/work/out/new', 'w').write('made')\n"
        "open('/opt/work/out/old', 'a').write('!')\n"
        "try: open('/mnt/data/new', 'w')\nexcept OSError: print('refused')\n",
        mounts=(Mount(tmp_path / "read", "/mnt/data"), Mount(tmp_path / "written", "{work}/out", writable=True)),
    )
    assert (ended.exit_code, text) == (0, "here\nrefused\n")
    assert (tmp_path / "written" / "new").read_text(encoding="ascii") == "made"
    assert (tmp_path / "written" / "old").read_text(encoding="ascii") == "here!"


def test_what_the_sandbox_cannot_read_is_said_at_once(workshop: Workshop, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("a server that is not root shares its user with its workloads")
    secret = tmp_path / "code-of-root"
    secret.mkdir(mode=0o700)
    workload = Workload(id="x", kind=Kind.RUN, command=("true",), code=secret)
    with pytest.raises(Conflict, match="may not read"):
        workshop.executor.start(workload)
    with pytest.raises(Conflict, match="does not exist"):
        workshop.executor.start(Workload(id="x", kind=Kind.RUN, command=("true",), code=tmp_path / "absent"))
    assert workshop.executor.ids() == []


def test_socket_inside_is_reached_outside(workshop: Workshop) -> None:
    workload_id = workshop.start(
        "import os, socket\ns = socket.socket(socket.AF_UNIX)\ns.bind(os.environ['AT'])\ns.listen()\n"
        "while True: c, _ = s.accept(); c.sendall(b'hello from inside'); c.close()",
        environment={"AT": "{run}/server.sock"},
        network=Network.NONE,
    )
    address = workshop.executor.address(workload_id)
    assert address is not None
    wait_until((address / "server.sock").exists)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        wait_until(lambda: client.connect_ex(str(address / "server.sock")) == 0)
        assert client.recv(100) == b"hello from inside"


def test_what_another_server_left_in_etc_is_made_anew(tmp_path: Path, isolation: Isolation) -> None:
    ProcessExecutor(tmp_path / "w", tmp_path / "r", isolation)
    (tmp_path / "w" / ".etc" / "passwd").write_text("old", encoding="ascii")
    executor = ProcessExecutor(tmp_path / "w", tmp_path / "r", isolation)
    assert "modelyard" in (tmp_path / "w" / ".etc" / "passwd").read_text(encoding="ascii")
    assert executor.ids() == []
