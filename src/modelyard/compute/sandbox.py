"""From a workload to the supervisor's plan: what its sandbox holds, and where its placeholders lead.

See docs/decisions/0002-sandbox.md.
"""

import ipaddress
from dataclasses import asdict
from pathlib import Path

from modelyard.compute.isolation import Isolation, filter_text
from modelyard.compute.supervisor.plan import NetworkPlan, Plan, Sandbox, UserPlan
from modelyard.compute.workload import MIB, Network, Workload

IMAGE = "/opt/image"
CODE = "/opt/code"
WORK = "/opt/work"
RUN = "/run/modelyard"

_API_PORT = 61000
_TEMPORARY_BYTES = 1024 * MIB
_SHARED_MEMORY_BYTES = 1024 * MIB
_SYSTEM_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)
_PRIVATE_NETWORKS = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")

_PROC_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_PROC_HIDDEN = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
)

ETC_FILES = {
    "passwd": "root:x:0:0:root:/:/sbin/nologin\nmodelyard:x:1000:1000:Modelyard:/opt/work:/bin/sh\n",
    "group": "root:x:0:\nmodelyard:x:1000:\n",
    "hosts": "127.0.0.1 localhost modelyard\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "resolv.conf": "nameserver 127.0.0.1\noptions edns0\n",
}
"""Files of /etc that the sandbox has its own of. The supervisor answers for the name server."""


def plan_workload(
    workload: Workload,
    isolation: Isolation,
    *,
    work: Path,
    run: Path,
    etc: Path,
    lock_fd: int,
    uid: int | None = None,
    allowed_networks: tuple[str, ...] = (),
    min_free_bytes: int = 0,
) -> Plan:
    """Decide everything about one start of a workload.

    Args:
        workload: what to run.
        isolation: what this machine can do.
        work: the host folder of `{work}`.
        run: the host folder of `{run}`.
        etc: the host folder with `ETC_FILES`.
        lock_fd: the lock that the supervisor will hold.
        uid: the user of the host that it runs as, where that is not the server's.
        allowed_networks: private IPv4 networks that a workload with PUBLIC may reach all the same.
        min_free_bytes: workloads that write end below so much free space.
    """
    sandbox = isolation.bubblewrap is not None
    network = _plan_network(workload, isolation, allowed_networks)
    api = f"127.0.0.1:{_API_PORT}" if sandbox and network["api"] else workload.api_address or ""
    places = {
        "image": IMAGE if sandbox else str(workload.image or ""),
        "code": CODE if sandbox else str(workload.code or ""),
        "work": WORK if sandbox else str(work),
        "run": RUN if sandbox else str(run),
        "api": api,
    }
    counted = [mount for mount in workload.mounts if mount.counted]
    environment = {name: _fill(value, places) for name, value in workload.environment.items()}
    folders = _Folders()
    planned = _plan_sandbox(workload, isolation, folders, {"work": work, "run": run, "etc": etc}, places)
    return Plan(
        id=workload.id,
        lock_fd=lock_fd,
        command=[_fill(argument, places) for argument in workload.command],
        environment={**_base_environment(workload, places), **environment, **workload.literals, **workload.secrets},
        masked=[*workload.secrets.values(), *workload.masked],
        work=str(work),
        counted=[str(run), *(str(mount.source) for mount in counted)],
        places=[places["work"], places["run"], *(_fill(mount.target, places) for mount in counted)],
        min_free_bytes=min_free_bytes,
        limits=asdict(workload.limits),  # type: ignore[typeddict-item] # the same fields
        network=network,
        sandbox=planned if sandbox else None,
        user=_plan_user(uid, isolation, [*folders.sources, *map(str, isolation.bubblewrap_folders if sandbox else ())]),
        filter=filter_text(),
        notice=isolation.warning,
    )


def _plan_user(uid: int | None, isolation: Isolation, sources: list[str]) -> UserPlan | None:
    if uid is None:
        return None
    return UserPlan(uid=uid, exposed=sources if isolation.can_mount else None)


def _fill(text: str, places: dict[str, str]) -> str:
    for name, place in places.items():
        text = text.replace("{" + name + "}", place)
    return text


def _base_environment(workload: Workload, places: dict[str, str]) -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {
        "PATH": f"{places['image']}/bin:{path}" if workload.image else path,
        "HOME": places["work"],
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "MODELYARD_WORKLOAD_ID": workload.id,
    }
    if workload.image:
        environment["VIRTUAL_ENV"] = places["image"]
    return environment


def _plan_network(workload: Workload, isolation: Isolation, allowed_networks: tuple[str, ...]) -> NetworkPlan:
    return NetworkPlan(
        policy=workload.network.value,
        api=None if workload.network is Network.NONE else workload.api_address,
        api_port=_API_PORT,
        slirp4netns=None if isolation.slirp4netns is None else str(isolation.slirp4netns),
        name_servers=name_servers() if workload.network is Network.PUBLIC else [],
        rejected=[*_PRIVATE_NETWORKS, *own_addresses()] if workload.network is Network.PUBLIC else [],
        allowed=list(allowed_networks),
    )


def name_servers() -> list[str]:
    """The name servers that this machine asks."""
    settings = Path("/etc/resolv.conf")
    lines = settings.read_text(encoding="utf-8", errors="replace").splitlines() if settings.exists() else []
    words = [line.split() for line in lines]
    return [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]


def own_addresses() -> list[str]:
    """Every IPv4 address of this machine but its loopback's, as the kernel's routing table has them."""
    found: set[str] = set()
    address = ""
    for line in Path("/proc/net/fib_trie").read_text(encoding="ascii").splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            address = words[1]
        elif words[:3] == ["/32", "host", "LOCAL"] and not ipaddress.ip_address(address).is_loopback:
            found.add(f"{address}/32")
    return sorted(found)


def _plan_sandbox(
    workload: Workload, isolation: Isolation, folders: "_Folders", host: dict[str, Path], places: dict[str, str]
) -> Sandbox:
    """Bubblewrap's options; see bwrap(1). `host` are the folders of the host by what they are for."""
    arguments = ["--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    arguments += ["--unshare-cgroup-try", "--hostname", "modelyard", "--die-with-parent", "--new-session"]
    arguments += ["--clearenv", "--cap-drop", "ALL"]
    arguments += ["--disable-userns"] if isolation.can_forbid_namespaces else []
    arguments += _show_system(folders, host["etc"], with_names=workload.network is Network.PUBLIC)
    arguments += ["--dev", "/dev", "--perms", "1777", "--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's own
    arguments += ["--remount-ro", "/dev", "--proc", "/proc", *_protect_proc()]
    arguments += ["--perms", "1777", "--size", str(_TEMPORARY_BYTES), "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    if workload.image is not None:
        for prefix in base_prefixes(workload.image):
            arguments += folders.show(prefix, Path(prefix))
        arguments += folders.show(IMAGE, workload.image)
    if workload.code is not None:
        arguments += folders.show(CODE, workload.code)
    arguments += folders.show(WORK, host["work"], writable=True) + folders.show(RUN, host["run"], writable=True)
    for mount in workload.mounts:
        arguments += folders.show(_fill(mount.target, places), mount.source, writable=mount.writable)
    arguments += ["--remount-ro", "/", "--chdir", WORK]
    return Sandbox(bubblewrap=str(isolation.bubblewrap), arguments=arguments, launcher=_launcher(workload, isolation))


def _protect_proc() -> list[str]:
    """What container runtimes hide in /proc, or keep from being written, is hidden or kept here as well."""
    arguments: list[str] = []
    for path in _PROC_READ_ONLY:
        if Path(path).exists():
            arguments += ["--ro-bind", path, path]
    for path in _PROC_HIDDEN:
        if Path(path).is_dir():
            arguments += ["--perms", "0555", "--tmpfs", path, "--remount-ro", path]
        elif Path(path).exists():
            arguments += ["--ro-bind", "/dev/null", path]
    return arguments


def _show_system(folders: "_Folders", etc: Path, *, with_names: bool) -> list[str]:
    """Programs, libraries and those settings that hold nothing private; `with_names` also how names are resolved."""
    arguments = folders.show("/usr", Path("/usr"))
    for link in _SYSTEM_LINKS:
        if Path(link).is_symlink():
            arguments += ["--symlink", str(Path(link).readlink()), link]
        elif Path(link).is_dir():
            arguments += folders.show(link, Path(link))
    for setting in _SETTINGS:
        if Path(setting).exists():
            arguments += folders.show(setting, Path(setting))
    for name in ETC_FILES:
        if name != "resolv.conf" or with_names:
            arguments += folders.show(f"/etc/{name}", etc / name)
    return arguments


def _launcher(workload: Workload, isolation: Isolation) -> list[str]:
    """The command that, inside, limits the number of processes and becomes the workload's command."""
    if isolation.prlimit is None:
        return []
    return [str(isolation.prlimit), f"--nproc={workload.limits.processes}", "--"]


class _Folders:
    """Shows host paths inside, and makes the folders above them such that everybody may pass.

    `sources` are the host paths that were shown.
    """

    def __init__(self) -> None:
        self.sources: list[str] = []
        self._made = {"/", "/usr", "/dev", "/proc", "/tmp"}  # noqa: S108 - the sandbox's own

    def show(self, target: str, source: Path, *, writable: bool = False) -> list[str]:
        arguments: list[str] = []
        for folder in reversed(Path(target).parents):
            if str(folder) not in self._made:
                self._made.add(str(folder))
                arguments += ["--dir", str(folder)]
        self._made.add(target)
        self.sources.append(str(source))
        return [*arguments, "--bind" if writable else "--ro-bind", str(source), target]


def base_prefixes(image: Path) -> list[str]:
    """The folders of the interpreter that a virtual environment stands on, but for those in /usr.

    Both the path it was made with and the one that leads to are given, since its links use the former.
    """
    found: list[Path] = []
    settings = image / "pyvenv.cfg"
    if settings.is_file():
        for line in settings.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name.strip() == "home":
                home = Path(value.strip()).parent
                found += [home, home.resolve()]
    python = image / "bin" / "python"
    if python.exists():
        found.append(python.resolve().parent.parent)
    distinct = dict.fromkeys(str(prefix) for prefix in found if prefix.is_absolute() and prefix.is_dir())
    return [prefix for prefix in distinct if prefix not in {"/", "/usr"} and not prefix.startswith("/usr/")]
