"""The database: SQLite in WAL mode on one machine, PostgreSQL on several. Units of work, nothing else."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, MetaData, String, TypeDecorator, create_engine, event, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidRequestError, NoResultFound
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time, on every database, with microseconds."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """On SQLite, which keeps texts, one step instead of three: a page of a list reads a thousand times."""
        return _read_text if dialect.name == "sqlite" else super().result_processor(dialect, coltype)


def _read_text(stored: str | None) -> datetime | None:
    return None if stored is None else datetime.fromisoformat(stored + "+00:00")


BUSY_TIMEOUT_S = 60
POSTGRES_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""In seconds, but ``tcp_user_timeout`` in milliseconds: a server that vanished without a word is given up."""
SCHEMA_LOCK = 0x6D6F6465  # any number that nothing else in the same database locks

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
Id = String(24)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # 64 bits as on the wire: PostgreSQL refuses to compare a column of 32 bits with a larger number
    type_annotation_map = {datetime: UtcDateTime, int: BigInteger}  # noqa: RUF012 # SQLAlchemy's own protocol


class ReadSession(Session):
    """A session that refuses to write: what GET handlers get."""

    def flush(self, objects: Any = None) -> None:
        if self.new or self.dirty or self.deleted:
            raise RuntimeError("a read-only session holds changes")
        super().flush(objects)


class WriteSession(Session):
    """A session in which a row is deleted once: of two units of work that delete it, one raises ``StaleDataError``."""

    def delete(self, instance: object) -> None:
        if instance in self and instance not in self.new:
            try:
                self.refresh(instance, with_for_update=True)
            except InvalidRequestError as error:
                raise StaleDataError(f"another unit of work deleted the row of {type(instance).__name__}") from error
        super().delete(instance)


class Database:
    """An engine and the two kinds of unit of work."""

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        self.is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {"json_serializer": lambda value: msgspec.json.encode(value).decode()}
        options["json_deserializer"] = msgspec.json.decode
        if self.is_sqlite:
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        else:
            options["pool_pre_ping"] = True
            options["connect_args"] = POSTGRES_TIMEOUTS
        options["hide_parameters"] = True  # an error's text is logged and shown, and values are the users'
        self.engine: Engine = create_engine(url, pool_size=pool_size, max_overflow=pool_size, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
            reading = self.engine.execution_options(modelyard_read_only=True)
        else:
            reading = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._write = sessionmaker(self.engine, class_=WriteSession, expire_on_commit=False)
        self._read = sessionmaker(reading, class_=ReadSession, expire_on_commit=False, autoflush=False)
        self._turn = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One unit of work: commits at the end, rolls back on any exception. SQLite takes its write lock at once."""
        with self._one_writer(), self._write() as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent view; the database refuses to write in it."""
        with self._read() as session:
            yield session

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """One transaction that never overlaps with another ``alone()``, of any process: for changing the schema.

        SQLite checks foreign keys at its end and not on the way, since it changes tables by replacing them.
        """
        with self._one_writer(), self.engine.connect() as connection:
            if self.is_sqlite:
                _set_foreign_keys(connection, on=False)
            try:
                with connection.begin():
                    if self.is_sqlite:
                        yield connection
                        _check_foreign_keys(connection)
                    else:
                        connection.execute(text(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"))
                        yield connection
            finally:
                if self.is_sqlite:
                    _set_foreign_keys(connection, on=True)

    def dispose(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _one_writer(self) -> Iterator[None]:
        """SQLite has one writer at a time: threads of one process take turns here, at once and not by polling."""
        if not self.is_sqlite:
            yield
            return
        if not self._turn.acquire(timeout=BUSY_TIMEOUT_S):
            raise TimeoutError(f"another unit of work of this process has been writing for {BUSY_TIMEOUT_S} s")
        try:
            yield
        finally:
            self._turn.release()


class ignoring_case(GenericFunction[str]):  # noqa: N801 # named as in SQL
    """A text in the form in which upper and lower case are the same, for orders and filters by name.

    The database does the folding, so compare two texts only when both went through it.
    """

    type = String()
    inherit_cache = True


@compiles(ignoring_case)
def _lower(element: ignoring_case, compiler: SQLCompiler, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(ignoring_case, "sqlite")
def _casefold(element: ignoring_case, compiler: SQLCompiler, **options: Any) -> str:
    """SQLite's own ``lower`` knows the letters of ASCII only."""
    return f"casefold({compiler.process(element.clauses, **options)})"


def upsert(session: Session, table: type[Base]) -> PostgresInsert | SqliteInsert:
    """An INSERT into ``table`` that knows ``on_conflict_do_update``, in the words of the session's database."""
    is_postgres = session.get_bind().dialect.name == "postgresql"
    return postgres_insert(table) if is_postgres else sqlite_insert(table)


def lost_a_race(error: Exception) -> bool:
    """Whether a unit of work failed because of another one, so that it can be tried again from its beginning.

    On PostgreSQL that is a deadlock, the same unique value at the same moment, or a row that was deleted between being
    read and being changed. SQLite, with one writer at a time, knows no such thing.
    """
    if isinstance(error, DBAPIError):
        return getattr(error.orig, "sqlstate", None) in {"40P01", "40001", "23505"}
    return isinstance(error, StaleDataError | NoResultFound)


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101
    connection.create_function("casefold", 1, _casefolded, deterministic=True)
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not by the driver
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_S * 1000}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "cache_size=-16000",
        "temp_store=MEMORY",
        "mmap_size=268435456",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _casefolded(value: str | None) -> str | None:
    return None if value is None else value.casefold()


def _begin_sqlite(connection: Connection) -> None:
    """Writers take the lock at once. Readers cannot write: one that tried would fail when somebody else has."""
    read_only = connection.get_execution_options().get("modelyard_read_only", False)
    driver = _driver(connection)
    driver.execute(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    driver.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _set_foreign_keys(connection: Connection, *, on: bool) -> None:
    _driver(connection).execute(f"PRAGMA foreign_keys={'ON' if on else 'OFF'}")


def _check_foreign_keys(connection: Connection) -> None:
    broken = _driver(connection).execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the new schema leaves rows without what they refer to: {broken[:10]}")


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)  # noqa: S101
    return driver
