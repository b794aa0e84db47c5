"""Settings: environment variables ``MODELYARD_…`` or arguments of a command; nothing is read anywhere else."""

import hashlib
import json
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from modelyard.kernel.forwarded import parse_network
from modelyard.kernel.host_names import check_pattern

MIB = 1024 * 1024
GIB = 1024 * MIB
MAX_SOCKETS_DIR_BYTES = 107 - len("/") - 24 - len("/server.sock")
"""A socket's path has at most 107 bytes (unix(7)); below the folder it has a workload's id and the socket's name."""


def default_data_dir() -> Path:
    """The user's data folder by the XDG convention."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "modelyard"


def _split(value: object) -> object:
    """Read a list that is separated by commas, or written in JSON."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part for part in value.split(",") if part.strip()]


def _absolute(path: Path) -> Path:
    """Settings name folders from where a process was started, and workloads and builds begin elsewhere."""
    return path.expanduser().absolute()


def _database_url(value: str) -> str:
    """PostgreSQL's URLs as other programs write them."""
    scheme, separator, rest = value.partition("://")
    if separator and scheme in {"postgres", "postgresql"}:
        return f"postgresql+psycopg://{rest}"
    if separator and scheme.partition("+")[0] not in {"sqlite", "postgresql"}:
        raise ValueError("takes the URL of a PostgreSQL (postgresql://user:password@host/name) or SQLite database")
    return value


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("takes an address such as http://host:8000")
    return value.rstrip("/")


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Folder = Annotated[Path, AfterValidator(_absolute)]
DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


def _check_networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        parse_network(value)
    return values


HostPatterns = Annotated[tuple[Annotated[str, AfterValidator(check_pattern)], ...], NoDecode, BeforeValidator(_split)]


class BundleSetting(BaseModel):
    """One resource bundle of the setting ``resource_bundles``."""

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    name: str = ""
    description: str = ""
    cpu_count: int = Field(ge=1)
    memory_bytes: int = Field(ge=64 * MIB)
    gpu_count: int = Field(default=0, ge=0)
    gpu_maker: Literal["nvidia", "amd", "intel"] = "nvidia"
    gpu_memory_bytes: int = Field(default=0, ge=0)
    use_cases: tuple[Literal["customApplication", "customJob", "customModel"], ...] = (
        "customApplication",
        "customJob",
        "customModel",
    )
    is_default: bool = False


class Settings(BaseSettings):
    """Everything an installation can set. Sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="MODELYARD_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Folder = Field(default_factory=default_data_dir)
    database_url: DatabaseUrl | None = None
    """SQLAlchemy URL; None is SQLite in the data directory."""
    blob_url: str | None = None
    """``s3://``, ``gs://`` or ``az://`` URL; None is a folder in the data directory."""
    images_dir: Folder | None = None
    """Where built environments are kept; None is in the data directory."""
    cache_dir: Folder | None = None
    """Downloads of builds; None is in the data directory."""
    runtime_dir: Folder | None = None
    """Short path for Unix sockets; None is in the data directory where that is short enough, see ``sockets_dir``."""

    host: str = "127.0.0.1"
    port: int = 8000
    gateway_port: int = 8001
    workload_api_url: HttpUrl | None = Field(default=None, validation_alias="MODELYARD_API_URL")
    """How workloads reach the API, where it is not ``http://host:port``, such as of a controller that runs alone."""
    forward_url: HttpUrl | None = Field(default=None, validation_alias="MODELYARD_GATEWAY_URL")
    """The gateway that the API hands predictions to, where it is not ``http://host:gateway_port``."""
    public_url: str | None = None
    """How clients reach the gateway, when it differs from ``http://host:gateway_port``."""
    allowed_hosts: HostPatterns = ()
    """Hosts that clients may reach the API by, beside loopback, this machine's own and that of ``public_url``:
    ``kernel/host_names.py`` says what they look like. Separated by commas, or a JSON list."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_check_networks)] = ()
    """Addresses and networks whose ``X-Forwarded-Proto``, ``-Host`` and ``-Prefix`` count. Separated by commas."""
    max_connections: int = Field(default=4096, ge=16)
    """How many connections the API holds at once; further ones wait. Fewer where the system allows fewer files."""
    client_timeout_s: float = Field(default=75, gt=0)
    """A client that sends nothing for that long, in a request or between two, or takes nothing of its answer, is
    disconnected. Above the 60 s for which load balancers keep idle connections."""
    drain_timeout_s: float = Field(default=10, ge=0)
    """For how long requests in hand may go on when the API is told to stop."""
    bootstrap_token: SecretStr | None = None
    """The first administrator's token, for automation."""

    secret_keys: SecretStr | None = None
    """Keys that secrets are encrypted with, separated by commas: the first encrypts, all decrypt. None: those of the
    file ``secret.key`` in the data directory, which is made where there is none."""

    sandbox: Literal["required", "off"] = "required"
    """``off`` runs user code without a sandbox: as an unprivileged user where the server is root, else as its own."""
    package_index_url: str | None = None
    allowed_private_hosts: tuple[str, ...] = ()
    allow_cross_organization_sharing: bool = False
    compat_patch_status: bool = False
    """Answer 200 instead of the documented 201 to ``PATCH /customModels/{id}/``."""

    max_upload_bytes: int = 10 * GIB
    max_files_per_version: int = 1000
    max_prediction_bytes: int = 50 * MIB
    max_prediction_columns: int = Field(default=20_000, ge=1)
    max_dataset_bytes: int = 10 * GIB
    max_pull_bytes: int = 2 * GIB
    """What one pull from a repository may bring, all files together and so each."""
    pull_timeout_s: float = 600
    model_start_timeout_s: float = 600
    model_stuck_timeout_s: float = 30
    """A replica that is held up by a request over its time limit for longer than this is started anew."""
    prediction_timeout_s: float = 60
    header_timeout_s: float = 10
    """The gateway closes a connection whose request head takes longer."""
    body_timeout_s: float = 30
    """A prediction request whose body brings less than 1 KiB in this time is refused."""
    idle_timeout_s: float = 75
    """The gateway closes a connection that had no request for so long."""
    max_anonymous_connections: int = Field(default=512, ge=1)
    """Connections to the gateway that have shown no valid token; the oldest is closed for one more."""
    max_buffered_prediction_bytes: int = Field(default=256 * MIB, ge=MIB)
    """Bodies of requests that a gateway holds in memory while they are incomplete, all together."""
    test_timeout_s: float = 3600
    build_timeout_s: float = 1800
    max_processes: int = 512
    max_work_bytes: int = 10 * GIB
    max_image_bytes: int = 10 * GIB
    """What the packages of one environment may take."""
    max_log_bytes: int = 64 * MIB
    min_free_bytes: int = Field(default=GIB, ge=0)
    """With less free space where the data directory is, workloads that write are stopped, and new ones and uploads
    wait."""

    default_model_memory_bytes: int = 2 * GIB
    max_model_memory_bytes: int = 14 * GIB
    max_model_replicas: int = 8
    max_testing_parallel_users: int = 20

    resource_bundles: tuple[BundleSetting, ...] | None = None
    """JSON list of bundles in place of the built-in ones."""
    gpu_count: int = 0
    """How many GPUs one workload can be given; above 0 the built-in GPU bundles that fit are offered."""
    gpu_maker: Literal["nvidia", "amd", "intel"] = "nvidia"
    gpu_memory_bytes: int = 16 * GIB

    max_custom_job_runs: int = 10
    """How many runs of an organization execute at once; the rest wait."""
    max_waiting_job_runs: int = 1000
    """How many runs of an organization may wait; one more is refused."""
    max_waiting_runs_per_job: int = 500
    max_notification_jobs: int = 100
    """Of an organization: as many runs may one event start."""
    job_timeout_s: float = 24 * 3600
    """The longest that a run may execute, and how long one may whose job says nothing."""
    max_artifacts: int = 1000
    """How many of the files that a run leaves in its output folder are kept."""

    max_trainings: int = 2
    """How many trainings of an organization go on at once; the rest wait."""
    max_waiting_trainings: int = 1000
    """How many trainings of an organization may wait for a free place."""
    training_timeout_s: float = 24 * 3600
    default_training_memory_bytes: int = 4 * GIB
    """For chains of tasks of which none says how much it needs."""
    max_transform_cache_bytes: int = 10 * GIB
    """How much is kept of what transforms made of the rows of earlier trainings."""

    operation_workers: int = 8
    lease_s: float = 30
    garbage_age_s: float = 24 * 3600
    """Blobs, images and folders nobody refers to are kept this long."""

    event_retention_s: float = 30 * 24 * 3600
    """Events are kept this long, whether or not every consumer has seen them."""

    access_log: bool = False
    """Log a line for each request to the API."""
    metrics: Literal["loopback", "all", "off"] = "loopback"
    """Who may read ``/metrics``: direct clients on this machine, everybody, nobody."""

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)] = "INFO"

    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'modelyard.db'}"

    def model_memory_bytes(self) -> int:
        """What a model has that says nothing: never more than one may have."""
        return min(self.default_model_memory_bytes, self.max_model_memory_bytes)

    def sockets_dir(self) -> Path:
        """Where sockets live: the first of these folders whose path is short enough for a socket below it.

        The data directory comes first: every process of an installation knows it, whoever's session started it.
        ``private_folders`` checks the folder before it is used.
        """
        if self.runtime_dir:
            return self.runtime_dir
        data_dir = self.data_dir.resolve()
        name = hashlib.sha256(str(data_dir).encode()).hexdigest()[:8]
        last = Path(f"/tmp/modelyard-{os.getuid()}-{name}")  # noqa: S108 # refused where another user made it
        session = os.environ.get("XDG_RUNTIME_DIR")
        candidates = [data_dir / "run", *([Path(session) / f"modelyard-{name}"] if session else []), last]
        return next((one for one in candidates if len(os.fsencode(one)) <= MAX_SOCKETS_DIR_BYTES), last)

    def api_url(self) -> str:
        """How this machine reaches the API."""
        return f"http://{_reachable(self.host)}:{self.port}"

    def workloads_api_url(self) -> str:
        """How workloads reach the API."""
        return self.workload_api_url or self.api_url()

    def forwarding_url(self) -> str:
        """Where the API hands predictions to."""
        return self.forward_url or f"http://{_reachable(self.host)}:{self.gateway_port}"

    def gateway_url(self, api_host: str | None = None) -> str:
        """How clients reach the gateway: by the host that one named to reach the API, where this listens on all."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = api_host if api_host and self.listens_everywhere() else _reachable(self.host)
        return f"http://{host}:{self.gateway_port}"

    def listens_everywhere(self) -> bool:
        """Whether any address of this machine may be one that clients use."""
        return _reachable(self.host) != self.host

    def host_names(self) -> tuple[str, ...]:
        """The hosts that are allowed because a setting names them."""
        named = [_reachable(self.host).strip("[]"), urlsplit(self.public_url or "").hostname]
        return (*self.allowed_hosts, *(check_pattern(name) for name in named if name))


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 # read, not bound
