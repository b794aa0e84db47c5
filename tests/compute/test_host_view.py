"""What a workload is, seen from the host: nobody, with no way to root, whatever its variables and files say."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from modelyard.compute.isolation import WORKLOAD_UIDS
from modelyard.compute.supervisor.identity import closed_folder
from modelyard.compute.supervisor.system import descendants
from modelyard.compute.workload import Kind, Mount, Network, Workload
from tests.compute.workshop import Workshop

SPY = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Loaded before main: says which program loaded it, with which user and which rights. */
static void write_down(const char *how) {
    char line[4096], program[512] = "", status[8192] = "", *caps;
    int fd = open("/proc/self/status", O_RDONLY);
    if (fd >= 0) { if (read(fd, status, sizeof status - 1) < 0) status[0] = 0; close(fd); }
    if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) program[0] = 0;
    caps = strstr(status, "CapPrm:");
    snprintf(line, sizeof line, "spy: %s %s uid=%d caps=%.16s\n", how, program, (int)getuid(), caps ? caps + 8 : "?");
    if (write(2, line, strlen(line)) < 0) {}
}
__attribute__((constructor)) static void loaded(void) { write_down("loaded"); }
unsigned la_version(unsigned version) { write_down("audit"); return version; }
int gconv(void) { return 0; }
int gconv_init(void *step) { write_down("gconv"); return 0; }
"""
VARIABLES = {
    "LD_PRELOAD": "{folder}/spy.so",
    "LD_AUDIT": "{folder}/spy.so",
    "LD_LIBRARY_PATH": "{folder}",
    "LD_ORIGIN_PATH": "{folder}",
    "LD_DEBUG": "all",
    "LD_DEBUG_OUTPUT": "/opt/work/debug",
    "LD_PROFILE": "libc.so.6",
    "LD_PROFILE_OUTPUT": "/opt/work",
    "LD_SHOW_AUXV": "1",
    "GLIBC_TUNABLES": "glibc.malloc.check=3",
    "GCONV_PATH": "{folder}",
    "LANGUAGE": "spy",
    "LANG": "spy.SPY",
    "LC_ALL": "spy.SPY",
    "LOCPATH": "{folder}",
    "NLSPATH": "{folder}/%N",
    "OUTPUT_CHARSET": "SPY",
    "CHARSET": "SPY",
    "HOSTALIASES": "{folder}/hosts",
    "LOCALDOMAIN": "spy",
    "RES_OPTIONS": "debug",
    "RESOLV_HOST_CONF": "{folder}/hosts",
    "MALLOC_TRACE": "/opt/work/trace",
    "TMPDIR": "{folder}",
    "TZDIR": "{folder}",
    "TZ": "{folder}/zone",
    "GETCONF_DIR": "{folder}",
    "POSIXLY_CORRECT": "1",
    "BASH_ENV": "{folder}/env.sh",
    "ENV": "{folder}/env.sh",
    "PATH": "{folder}:/usr/bin:/bin",
    "IFS": "/",
    "SHELLOPTS": "xtrace",
    "PS4": "$(id > /opt/work/ps4)",
    "PYTHONHOME": "{folder}",
    "PYTHONPATH": "{folder}",
    "PYTHONSTARTUP": "{folder}/env.sh",
}


GROUPS = {
    "loader": ("LD_", "GLIBC_TUNABLES"),
    "preload": ("LD_PRELOAD",),
    "locale": ("GCONV", "LANG", "LC_", "LOCPATH", "NLSPATH", "OUTPUT_CHARSET", "CHARSET"),
    "names": ("HOST", "LOCALDOMAIN", "RES", "TZ", "TMPDIR", "GETCONF", "MALLOC"),
    "programs": ("PATH", "BASH_ENV", "ENV", "IFS", "SHELLOPTS", "PS4", "PYTHON", "POSIX"),
}
"""Variables by what reads them, by the beginnings of their names."""


@pytest.fixture(scope="module")
def spies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each of the variables would have a program load."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "the tests need a C compiler"
    folder = tmp_path_factory.mktemp("spies")
    (folder / "spy.c").write_text(SPY, encoding="ascii")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-w", "-o", str(folder / "spy.so"), str(folder / "spy.c")], check=True
    )
    (folder / "gconv-modules").write_text(
        "module SPY// INTERNAL spy 1\nmodule INTERNAL SPY// spy 1\n"
        "module UTF-8// SPY// spy 1\nmodule SPY// UTF-8// spy 1\n",
        encoding="ascii",
    )
    for name in ("libcap.so.2", "libselinux.so.1", "libm.so.6"):
        shutil.copy(folder / "spy.so", folder / name)
    for name in ("prlimit", "setpriv", "bwrap", "slirp4netns", "python3"):
        (folder / name).write_text("#!/bin/sh\nid > /opt/work/$(basename $0)\n", encoding="ascii")
        (folder / name).chmod(0o755)
    locale = folder / "spy" / "LC_MESSAGES"
    locale.mkdir(parents=True)
    (locale / "util-linux.mo").write_bytes(b"\xde\x12\x04\x95")
    (folder / "env.sh").write_text("id > /opt/work/env\n", encoding="ascii")
    folder.chmod(0o755)
    return folder


def _identities(workshop: Workshop, workload_id: str) -> list[tuple[str, set[int], set[str], list[list[str]]]]:
    """Name, user ids, capabilities and user map of every process below the supervisor, read on the host."""
    supervisor = workshop.executor.observe(workload_id).supervisor_pid
    assert supervisor is not None
    seen = []
    for pid in descendants(supervisor):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        uids = {int(word) for word in (status["Uid"] + "\t" + status["Gid"]).split()}
        rights = {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
        users = [line.split() for line in Path(f"/proc/{pid}/uid_map").read_text(encoding="ascii").splitlines()]
        seen.append((status["Name"], uids, rights, users))
    return seen


def _host_uid(workshop: Workshop, workload_id: str) -> int:
    """The user of the host that the workload runs as."""
    uid = workshop.executor.work(workload_id).stat().st_uid
    assert uid in (WORKLOAD_UIDS if os.getuid() == 0 else {os.getuid()})
    return uid


@pytest.mark.parametrize("network", [Network.NONE, Network.PUBLIC, Network.DR_API_ACCESS])
@pytest.mark.parametrize("kind", [Kind.RUN, Kind.SERVICE])
def test_no_process_has_a_right_of_the_host(workshop: Workshop, kind: Kind, network: Network) -> None:
    if network is Network.PUBLIC and not workshop.executor.isolation.internet.is_available:
        pytest.skip(workshop.executor.isolation.internet.why)
    workload_id = workshop.new_id()
    workshop.executor.start(
        Workload(
            id=workload_id,
            kind=kind,
            command=("/bin/sh", "-c", "echo up; sleep 60"),
            network=network,
            api_address="127.0.0.1:1",
        )
    )
    workshop.wait_for(workload_id, "up")
    seen = _identities(workshop, workload_id)
    assert {"bwrap", "sh"} <= {name for name, *_ in seen}
    host_uid = _host_uid(workshop, workload_id)
    for name, uids, rights, users in seen:
        assert uids == {host_uid}, name
        assert rights == {"0000000000000000"}, name
        # The host's own namespace maps everything to itself; every other one maps nobody but the workload's user.
        assert users == [["0", "0", "4294967295"]] or [word[1:] for word in users] == [[str(host_uid), "1"]], name


@pytest.mark.parametrize("group", [*GROUPS, "all"])
def test_variables_reach_no_process_with_more_rights(workshop: Workshop, spies: Path, group: str) -> None:
    names = [name for name in VARIABLES if group == "all" or name.startswith(GROUPS[group])]
    _attack(workshop, spies, {name: VARIABLES[name] for name in names})


def _attack(workshop: Workshop, spies: Path, variables: dict[str, str]) -> None:
    workload_id = workshop.start_command(
        "/bin/sh",
        "-c",
        "id; /usr/bin/env > /opt/work/environment; cat /no-such-file; for n in 1 2 3; do /bin/true; done",
        mounts=(Mount(spies, "/opt/spies"),),
        literals={name: value.format(folder="/opt/spies") for name, value in variables.items()},
    )
    workshop.wait(workload_id)
    for path in workshop.executor.work(workload_id).rglob("*"):
        assert path.lstat().st_uid == _host_uid(workshop, workload_id), path
    lines = [line for line in workshop.text(workload_id).splitlines() if line.startswith("spy: ")]
    assert {line.partition(" uid=")[2] for line in lines} <= {"1000 caps=0000000000000000"}, lines
    assert lines or "LD_PRELOAD" not in variables, "the spy was not loaded where it may be, so this test sees nothing"


def test_proc_shows_and_takes_nothing_of_the_machine(workshop: Workshop) -> None:
    ended, text = workshop.run(
        "import os\n"
        "def writable(path):\n"
        "    try: os.close(os.open(path, os.O_WRONLY)); return True\n"
        "    except OSError: return False\n"
        "found = []\n"
        "for folder, _, files in os.walk('/proc/sys'):\n"
        "    found += [f'{folder}/{file}' for file in files if writable(f'{folder}/{file}')]\n"
        "others = ('/proc/sysrq-trigger', '/proc/kcore', '/proc/keys', '/proc/irq/default_smp_affinity')\n"
        "print(found + [path for path in others if writable(path)])\n"
        "mounts = {line.split()[1]: line.split()[3].split(',') for line in open('/proc/self/mounts')}\n"
        "print([path for path in ('/proc/sys', '/proc/sysrq-trigger', '/proc/irq', '/proc/bus', '/proc/fs')\n"
        "       if os.path.exists(path) and 'ro' not in mounts[path]])\n"
    )
    assert ended.exit_code == 0, text
    assert text == "[]\n[]\n"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can close folders to itself as another user")
def test_closed_folders_stay_closed_but_for_what_is_shown(workshop: Workshop, tmp_path: Path) -> None:
    secret = tmp_path / "private"
    (secret / "shown").mkdir(parents=True)
    (secret / "shown" / "file").write_text("shown", encoding="ascii")
    (secret / "secret.key").write_text("secret", encoding="ascii")
    (tmp_path / "link").symlink_to(secret / "shown")
    secret.chmod(0o700)
    assert closed_folder(str(secret / "shown" / "file"), WORKLOAD_UIDS[0]) is not None
    ended, text = workshop.run(
        "print(open('/mnt/data/file').read(), open('/mnt/link/file').read())",
        mounts=(Mount(secret / "shown", "/mnt/data"), Mount(tmp_path / "link", "/mnt/link")),
    )
    assert (ended.exit_code, text) == (0, "shown shown\n")
    assert secret.stat().st_mode & 0o777 == 0o700
    assert (secret / "secret.key").read_text(encoding="ascii") == "secret"
