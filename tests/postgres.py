"""A PostgreSQL cluster of the tests' own, and one fresh database for each test that wants it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from tests.waiting import wait_until

USER = "modelyard"
SETTINGS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "listen_addresses=")


@dataclass
class Cluster:
    """A running PostgreSQL that only listens on a Unix socket in ``socket_dir``."""

    socket_dir: Path
    made: int = 0

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://{USER}@/{name}?host={quote(str(self.socket_dir), safe='')}"

    def new_database(self, template: str = "template1") -> str:
        """The URL of a database made just now, as a copy of ``template``."""
        self.made += 1
        name = f"test_{self.made}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes a database, whoever is still connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {url.partition('@/')[2].partition('?')[0]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        with psycopg.connect(host=str(self.socket_dir), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(statement.encode())


def programs() -> Path | None:
    """The folder with ``initdb`` and ``postgres``: Debian's newest version, or whatever is on PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def running_cluster(bin_dir: Path) -> Iterator[Cluster]:
    """Makes a cluster in a temporary folder and runs it. It ends with this process, even if that is killed."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-pg-", dir="/tmp"))  # short, because a socket goes there
    account = _unprivileged()
    drop = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    data = folder / "data"
    log = folder / "log"
    try:
        subprocess.run(
            [*drop, bin_dir / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        options = [word for setting in (*SETTINGS, f"unix_socket_directories={folder}") for word in ("-c", setting)]
        die_with_us = ["setpriv", *drop[1:], "--pdeathsig", "INT"]
        with log.open("wb") as output:
            server = subprocess.Popen(
                [*die_with_us, bin_dir / "postgres", "-D", data, *options], stdout=output, stderr=output, cwd=folder
            )
        try:
            cluster = Cluster(folder)
            wait_until(lambda: _answers(cluster, server, log), 30, "PostgreSQL to start")
            yield cluster
        finally:
            server.send_signal(2)  # the fast shutdown: it does not wait for connections
            server.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(cluster: Cluster, server: "subprocess.Popen[bytes]", log: Path) -> bool:
    if server.poll() is not None:
        raise RuntimeError(f"PostgreSQL ended at once:\n{log.read_text()[-4000:]}")
    try:
        cluster.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run PostgreSQL as, since it refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'")
