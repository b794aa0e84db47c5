"""Builders shared by all tests: a fresh installation in a temporary folder, and users to ask it as."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from modelyard.app import Application, build, prepare
from modelyard.compute.executor import Executor
from modelyard.compute.isolation import Isolation, probe
from modelyard.identity.accounts import add_token, bootstrap
from modelyard.identity.caller import new_token
from modelyard.identity.tables import Organization, User
from modelyard.kernel.database import Base
from modelyard.kernel.ids import new_id
from modelyard.kernel.settings import Settings
from modelyard.templates.tables import CustomTemplate
from modelyard.workspaces.tables import File, Workspace
from tests.api_client import IN_PROCESS_HOST, Api, in_process
from tests.forks import running
from tests.postgres import Cluster, programs, running_cluster
from tests.waiting import wait_until

ADMIN_TOKEN = "my_admin-token-of-the-tests-with-43-letters"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--database", choices=("sqlite", "postgresql"), default="sqlite", help="what installations use")
    parser.addoption("--fuzz-examples", default="2", help="requests for each operation that fit it, and that do not")
    parser.addoption("--fuzz-seed", default="1", help="which requests these are")


LONG = ("docs", "database", "learning", "crash", "journeys", "processes", "hostile", "jobs", "cli", "cases", "compute")
"""Folders with files that take long: they begin first, so that no worker is left with one in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {folder: rank for rank, folder in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.relative_to(Path(__file__).parent).parts[0], len(LONG)))


@dataclass(frozen=True)
class Installation:
    """A fresh Modelyard in a temporary folder."""

    application: Application
    api: Api

    def run_operations(self) -> None:
        """Does everything that is due, in this thread."""
        self.application.engine().run_until_idle()

    def stored(self) -> tuple[int, int]:
        """How many workspaces and files there are, without those of the templates that ship."""
        shipped = select(Workspace.tree_id).join(CustomTemplate, CustomTemplate.workspace_id == Workspace.id)
        with self.application.database.read() as session:
            workspaces, files = (
                session.scalar(select(func.count()).where(column.not_in(shipped.where(CustomTemplate.is_shipped))))
                for column in (Workspace.tree_id, File.tree_id)
            )
        return workspaces or 0, files or 0

    def a_user(self, name: str, *, organization: str = "default") -> Api:
        """A new user (and organization, where it is new), and the API as they see it."""
        token = new_token()
        with self.application.database.write() as session:
            found = session.query(Organization).filter_by(name=organization).one_or_none()
            if found is None:
                found = Organization(id=new_id(), name=organization, created_at=datetime.now(UTC))
                session.add(found)
                session.flush()
            user = User(id=new_id(), organization_id=found.id, username=name, created_at=datetime.now(UTC))
            session.add(user)
            session.flush()
            add_token(session, user.id, "test", token)
        return self.api.as_(token)


@pytest.fixture(autouse=True)
def _umask_of_users() -> Iterator[None]:
    """Commands of the server that run in this process close what it makes to others; the next test begins as before."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def isolation() -> Isolation:
    """What this machine can isolate, probed once."""
    return probe()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL of the tests' own."""
    bin_dir = programs()
    if bin_dir is None:
        pytest.skip("PostgreSQL is not installed here: 'apt-get install postgresql' (no server needs to run)")
    with running_cluster(bin_dir) as cluster:
        yield cluster


@pytest.fixture
def a_postgres_url(request: pytest.FixtureRequest) -> Iterator[Callable[[], str]]:
    """Makes empty PostgreSQL databases, which are gone after the test."""
    made: list[str] = []

    def make() -> str:
        made.append(request.getfixturevalue("postgres").new_database())
        return made[-1]

    yield make
    for url in made:
        request.getfixturevalue("postgres").drop(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def each_database(request: pytest.FixtureRequest, tmp_path: Path, a_postgres_url: Callable[[], str]) -> str:
    """The URL of an empty database; a test that asks for it runs once for each kind."""
    return f"sqlite:///{tmp_path / 'each.db'}" if request.param == "sqlite" else a_postgres_url()


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, isolation: Isolation) -> Path:
    """The data directory of an installation that was just made, to be copied: its database and its blobs."""
    folder = tmp_path_factory.mktemp("installed")
    application = build(Settings(data_dir=folder / "data", runtime_dir=folder / "run"), isolation)
    _install(application)
    application.database.dispose()
    connection = sqlite3.connect(folder / "data" / "modelyard.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return folder / "data"


def _install(application: Application) -> None:
    Base.metadata.create_all(application.database.engine)
    with application.database.write() as session:
        bootstrap(session, ADMIN_TOKEN)
    prepare(application)


@pytest.fixture
def an_installation(
    tmp_path: Path,
    isolation: Isolation,
    installed: Path,
    pytestconfig: pytest.Config,
    a_postgres_url: Callable[[], str],
) -> Iterator[Callable[..., Installation]]:
    """Makes installations, each with the settings it is given."""
    opened: list[tuple[Any, Application]] = []

    def make(**settings: Any) -> Installation:
        settings.setdefault("allowed_hosts", (IN_PROCESS_HOST,))
        data_dir = settings.pop("data_dir", tmp_path / f"data{len(opened)}")
        runtime_dir = tmp_path / f"run{len(opened)}"
        if pytestconfig.getoption("--database") == "postgresql":
            settings.setdefault("database_url", a_postgres_url())
        is_like_others = not {"database_url", "blob_url"} & settings.keys() and not data_dir.exists()
        if is_like_others:
            shutil.copytree(installed / "blobs", data_dir / "blobs")
            shutil.copy(installed / "modelyard.db", data_dir)
        application = build(Settings(data_dir=data_dir, runtime_dir=runtime_dir, **settings), isolation)
        if not is_like_others:
            _install(application)
        client = in_process(application.api())()
        client.__enter__()
        opened.append((client, application))
        return Installation(application, Api(client, ADMIN_TOKEN))

    yield make
    for client, application in opened:
        client.__exit__(None, None, None)
        _end_workloads(application)
        application.database.dispose()


def _end_workloads(application: Application) -> None:
    executor = application.parts.get(Executor)  # type: ignore[type-abstract]
    for workload_id in executor.ids():
        executor.stop(workload_id, 0)
    wait_until(lambda: not any(executor.observe(one).is_alive for one in executor.ids()), what="workloads to end")


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    """A fresh installation with default settings."""
    return an_installation()


@pytest.fixture
def api(installation: Installation) -> Api:
    """The API of a fresh installation, as its first administrator sees it."""
    return installation.api


@pytest.fixture(scope="session")
def forks() -> Iterator[Path]:
    """Where to ask for commands of ``modelyard`` that need not be imported first."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, running(Path(folder)) as path:
        yield path


@pytest.fixture(scope="session")
def shared_images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Settings that let installations share built images and downloads, so that each is built once for all tests."""
    folder = tmp_path_factory.getbasetemp().parent / "modelyard-images"
    return {"images_dir": folder / "images", "cache_dir": folder / "cache"}
