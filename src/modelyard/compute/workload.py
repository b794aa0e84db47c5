"""A workload: one thing to execute, described as data.

Everything here survives a round trip through JSON, so that a workload can be written beside its output and read again
by another process, on another day.
"""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

GIB = 1024**3
MIB = 1024**2

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[^=\0]+")


class Kind(StrEnum):
    """What a workload is for: a run ends and has an exit code, a service stays up and has an address."""

    RUN = "run"
    SERVICE = "service"


class Network(StrEnum):
    """What a workload may reach: nothing, the public internet, or only the Modelyard API."""

    NONE = "none"
    PUBLIC = "public"
    DR_API_ACCESS = "dr_api_access"


@dataclass(frozen=True)
class Mount:
    """A host folder or file shown inside.

    `target` is an absolute path inside, or one that begins with a placeholder. A `counted` mount is writable and what
    is stored in it counts against `Limits.disk_bytes`.
    """

    source: Path
    target: str
    writable: bool = False
    counted: bool = False


@dataclass(frozen=True)
class Limits:
    """What a workload may use. None means no limit.

    `cpu_count` is a maximum, and the share of the machine when it is busy. `file_bytes` limits one file, `disk_bytes`
    everything the workload stores, `log_bytes` what is kept of its output (the newest).
    """

    memory_bytes: int | None = None
    cpu_count: float | None = None
    time_limit_s: float | None = None
    grace_s: float = 10.0
    processes: int = 512
    file_bytes: int = 10 * GIB
    disk_bytes: int = 10 * GIB
    log_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Workload:
    """One command with all it needs.

    The placeholders `{image}`, `{code}`, `{work}`, `{run}` and `{api}` are replaced in the command, in the values of
    `environment` and in the targets of mounts, by the paths (and the `host:port` of the API) that hold where the
    command runs. Values of `literals` are variables whose values are taken as they are. So are those of `secrets`,
    which reach only the environment of the process and are masked in its log, as are the texts of `masked`.
    """

    id: str
    kind: Kind
    command: tuple[str, ...]
    image: Path | None = None
    code: Path | None = None
    mounts: tuple[Mount, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    literals: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    masked: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)
    network: Network = Network.NONE
    api_address: str | None = None
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could never run.

        Raises:
            ValueError: the id is no plain name, the command is empty, a variable's name or a value cannot be passed
                to a process, or the API's address is missing or malformed.
        """
        check_id(self.id)
        if not self.command:
            raise ValueError(f"workload {self.id}: the command is empty; it needs at least a program")
        for name, value in {**self.environment, **self.literals, **self.secrets}.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"workload {self.id}: {name!r} is not a name for an environment variable")
            if "\0" in value:
                raise ValueError(f"workload {self.id}: the value of {name} holds a NUL character")
        if any("\0" in argument for argument in self.command):
            raise ValueError(f"workload {self.id}: the command holds a NUL character")
        if self.api_address is not None and not re.fullmatch(r".+:\d{1,5}", self.api_address):
            raise ValueError(f"workload {self.id}: the API's address must be host:port, not {self.api_address!r}")
        if self.network is Network.DR_API_ACCESS and self.api_address is None:
            raise ValueError(f"workload {self.id}: network {self.network} needs the API's address")


@dataclass(frozen=True)
class OpenedVariables:
    """Variables that are known only while a workload is started, because they come out of encrypted storage.

    `literals`, `secrets` and `masked` are as in `Workload`.
    """

    literals: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    masked: tuple[str, ...] = field(default=(), repr=False)


def with_opened(workload: Workload, opened: OpenedVariables) -> Workload:
    """The workload with those variables too; of two of one name, its own counts."""
    own = workload.environment.keys() | workload.literals.keys()
    return replace(
        workload,
        literals={name: value for name, value in opened.literals.items() if name not in own} | workload.literals,
        secrets={name: value for name, value in opened.secrets.items() if name not in own} | workload.secrets,
        masked=(*workload.masked, *opened.secrets.values(), *opened.masked),
    )


def check_id(workload_id: str) -> str:
    """The id itself, if it is a plain name of letters, digits, `-` and `_` that can name a folder.

    Raises:
        ValueError: it is not.
    """
    if not _IDENTIFIER.fullmatch(workload_id):
        raise ValueError(f"{workload_id!r} is not a workload id: up to 64 letters, digits, '-' and '_'")
    return workload_id


def to_json(workload: Workload) -> str:
    """The workload as JSON, with the values of its secrets, and what else is masked, left out."""
    document = asdict(replace(workload, secrets=dict.fromkeys(workload.secrets, ""), masked=()))
    return json.dumps(document, default=str, indent=1)


def from_json(text: str) -> Workload:
    """The workload that `to_json` wrote; its secrets have their names and empty values."""
    document: dict[str, Any] = json.loads(text)
    document["kind"] = Kind(document["kind"])
    document["network"] = Network(document["network"])
    document["command"] = tuple(document["command"])
    document["masked"] = ()
    document["limits"] = Limits(**document["limits"])
    document["mounts"] = tuple(Mount(**{**mount, "source": Path(mount["source"])}) for mount in document["mounts"])
    for name in ("image", "code"):
        document[name] = None if document[name] is None else Path(document[name])
    return Workload(**document)
