"""What the server tells the supervisor: everything decided, nothing to look up.

The plan goes through a memory file, never to disk, since it holds the values of secrets.
"""

from typing import TypedDict


class Sandbox(TypedDict):
    """How to enter the sandbox.

    `arguments` are bubblewrap's options but for those of the network. `launcher` is the command that, inside, sets
    the last limits and becomes the workload's command.
    """

    bubblewrap: str
    arguments: list[str]
    launcher: list[str]


class UserPlan(TypedDict):
    """Which user of the host the workload runs as, where the server is root.

    `exposed` are the paths that this user has to reach through folders that it may not pass; None where the server
    may not mount, so that the folders have to be open.
    """

    uid: int
    exposed: list[str] | None


class NetworkPlan(TypedDict):
    """What the workload may reach.

    `policy` is a value of `workload.Network`; connections to `127.0.0.1:<api_port>` inside are carried to `api`.
    `name_servers` are this machine's; questions about names are carried to them. `rejected` and `allowed` are IPv4
    networks as `address/bits`; the allowed ones win.
    """

    policy: str
    api: str | None
    api_port: int
    slirp4netns: str | None
    name_servers: list[str]
    rejected: list[str]
    allowed: list[str]


class LimitsPlan(TypedDict):
    """See `workload.Limits`."""

    memory_bytes: int | None
    cpu_count: float | None
    time_limit_s: float | None
    grace_s: float
    processes: int
    file_bytes: int
    disk_bytes: int
    log_bytes: int


class Plan(TypedDict):
    """All of it.

    `lock_fd` is the open lock that proves, by being held, that the supervisor lives. `user` is None where the workload
    runs as the server's own user. `filter` is the seccomp filter as hexadecimal text, None where there is none for
    this machine. `notice` is the first line of the log. What is stored in `work` and in the folders `counted` is
    limited; `places` are the same folders by the names that the workload has for them. Below `min_free_bytes` of free
    space on their file systems a workload that writes is ended.
    """

    id: str
    lock_fd: int
    command: list[str]
    environment: dict[str, str]
    masked: list[str]
    work: str
    counted: list[str]
    places: list[str]
    min_free_bytes: int
    limits: LimitsPlan
    network: NetworkPlan
    sandbox: Sandbox | None
    user: UserPlan | None
    filter: str | None
    notice: str | None
