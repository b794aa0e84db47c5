"""The first administrator's token: what may be set, and how to get another when all are lost."""

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from modelyard.cli.errors import CommandError
from modelyard.identity.caller import find_caller, token_digest
from modelyard.identity.tables import AuditEvent, Organization, User
from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_id
from modelyard.kernel.settings import Settings
from modelyard.processes import recovery
from modelyard.processes.options import read_settings
from modelyard.processes.setup import set_up
from tests.cli.conftest import Outcome, Terminal
from tests.conftest import ADMIN_TOKEN

VARIABLE = "MODELYARD_BOOTSTRAP_TOKEN"
UNUSABLE = [
    "s3cret",
    "x" * 31,
    "with a space in the middle of it, and long",
    "x" * 40 + "\n",
    "\t" + "x" * 40,
    "ünbelievable-token-of-more-than-32-letters",
    "x" * 40 + "\x7f",
    "x" * 5000,
]


@pytest.fixture
def terminal(tmp_path: Path, forks: Path) -> Terminal:
    return Terminal(tmp_path, forks)


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data directory of an installation that was started once."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "servers-config"))
    assert set_up(Settings(data_dir=tmp_path / "data", runtime_dir=tmp_path / "run")) is not None
    return tmp_path / "data"


@pytest.fixture
def database(data_dir: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{data_dir / 'modelyard.db'}")
    yield opened
    opened.dispose()


def recover(terminal: Terminal, data_dir: Path, *options: str) -> Outcome:
    return terminal("admin", "recover", "--data-dir", data_dir, *options)


def owner_of(database: Database, token: str) -> tuple[str, bool] | None:
    """Whose token it is, and whether they administer."""
    with database.read() as session:
        caller = find_caller(session, token_digest(token))
    return None if caller is None else (caller.username, caller.is_admin)


def add_user(database: Database, name: str, **fields: Any) -> None:
    with database.write() as session:
        organization_id = session.scalars(select(Organization.id)).one()
        created_at = session.scalars(select(User.created_at).limit(1)).one()
        session.add(User(id=new_id(), organization_id=organization_id, username=name, created_at=created_at, **fields))


@pytest.mark.parametrize("token", UNUSABLE)
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, token)
    with pytest.raises(CommandError) as raised:
        read_settings()
    told = f"{raised.value.message} {raised.value.hint}"
    assert VARIABLE in told
    assert "openssl rand -hex 32" in told
    assert token not in told


@pytest.mark.parametrize("token", ["x" * 32, ADMIN_TOKEN, "!~" * 512])
def test_other_tokens_are_taken(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, token)
    settings = read_settings()
    assert settings.bootstrap_token is not None
    assert settings.bootstrap_token.get_secret_value() == token


@pytest.mark.parametrize("command", ["up", "api"])
def test_the_server_says_so_in_one_line_and_makes_nothing(terminal: Terminal, tmp_path: Path, command: str) -> None:
    terminal.variables[VARIABLE] = "s3cret-s3cret"
    ended = terminal(command, "--data-dir", tmp_path / "new", "--port", "21201", "--gateway-port", "21202")
    assert ended.code == 1
    first, hint = ended.err.splitlines()
    assert first == f"error: {VARIABLE} has 13 characters; at least 32 are needed"
    assert hint.startswith("hint: ")
    assert "s3cret" not in ended.out + ended.err
    assert not (tmp_path / "new").exists()


def test_another_wrong_setting_is_one_line_too(terminal: Terminal, tmp_path: Path) -> None:
    terminal.variables["MODELYARD_PORT"] = "s3cret"
    ended = terminal("ps", "--data-dir", tmp_path)
    assert ended.code == 1
    assert ended.err.startswith("error: MODELYARD_PORT: ")
    assert "Traceback" not in ended.err
    assert "s3cret" not in ended.err


def test_one_that_comes_too_late_is_said_to_be_ignored(
    data_dir: Path, database: Database, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(Settings(data_dir=data_dir))
    assert VARIABLE not in caplog.text
    set_up(Settings(data_dir=data_dir, bootstrap_token=ADMIN_TOKEN))  # type: ignore[arg-type]
    for told in (caplog.text, capsys.readouterr().err):
        assert f"{VARIABLE} is ignored" in told
        assert ADMIN_TOKEN not in told
    assert owner_of(database, ADMIN_TOKEN) is None


def test_an_administrator_gets_a_new_token(terminal: Terminal, data_dir: Path, database: Database) -> None:
    ended = recover(terminal, data_dir)
    assert ended.code == 0, ended.err
    assert owner_of(database, ended.out.strip()) == ("admin", True)
    assert "shown only now" in ended.err
    with database.read() as session:
        row = session.scalars(select(AuditEvent).where(AuditEvent.action == "recover")).one()
    assert (row.user_id, row.resource_kind) == (None, "user")
    assert row.detail is not None
    assert (row.detail["username"], row.detail["changes"]) == ("admin", [])
    assert ended.out.strip() not in str(row.detail)
    assert not (terminal.folder / "config").exists()


def test_the_named_one_gets_it_and_the_command_line_uses_it(
    terminal: Terminal, data_dir: Path, database: Database
) -> None:
    add_user(database, "Grace", is_admin=True, is_active=True)
    told = recover(terminal, data_dir, "--user", "grace", "--login", "--json").json
    assert owner_of(database, told["token"]) == ("Grace", True)
    file = Path(told["config"])
    assert f'token = "{told["token"]}"' in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (told["username"], told["changes"]) == ("Grace", [])


def test_who_is_no_administrator_becomes_one_only_where_there_is_none(
    terminal: Terminal, data_dir: Path, database: Database
) -> None:
    add_user(database, "grace", is_admin=False, is_active=False)
    refused = recover(terminal, data_dir, "--user", "grace")
    assert (refused.code, refused.out) == (1, "")
    assert "'grace' is not an active administrator" in refused.err
    assert recover(terminal, data_dir, "--user", "nobody").code == 3
    with database.write() as session:
        session.execute(update(User).values(is_active=False))
    told = recover(terminal, data_dir, "--user", "grace", "--json").json
    assert (owner_of(database, told["token"]), told["changes"]) == (("grace", True), ["promoted", "activated"])


def test_without_any_the_oldest_is_activated_or_one_is_made(
    terminal: Terminal, data_dir: Path, database: Database
) -> None:
    with database.write() as session:
        session.execute(update(User).values(is_active=False))
    told = recover(terminal, data_dir, "--json").json
    assert (owner_of(database, told["token"]), told["changes"]) == (("admin", True), ["activated"])
    with database.write() as session:
        session.execute(update(User).values(is_admin=False, username="was-admin", compared_name="was-admin"))
    told = recover(terminal, data_dir, "--json").json
    assert (owner_of(database, told["token"]), told["changes"]) == (("admin", True), ["made"])


def test_what_is_no_installation_does_not_become_one(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    half = tmp_path / "half"
    half.mkdir()
    (half / "secret.key").write_text("x")
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for name in ("secret.key", "modelyard.db"):
        (wrong / name).write_text("no database" * 100)
    before = sorted(tmp_path.rglob("*"))
    for folder in (tmp_path / "nowhere", tmp_path / "empty", half, wrong):
        ended = recover(terminal, folder)
        assert ended.code in {1, 3}, ended
        assert ended.out == ""
        assert str(folder) in ended.err
        assert "Traceback" not in ended.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run it as somebody else")
@pytest.mark.parametrize(("name", "mode"), [(".", 0o700), ("secret.key", 0o600), ("modelyard.db", 0o644)])
def test_file_permissions_are_the_authority(data_dir: Path, database: Database, name: str, mode: int) -> None:
    """One of the files keeps another user out; the rest are theirs."""
    database.dispose()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        copy = shutil.copytree(data_dir, Path(folder) / "data")
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o777)
        (copy / name).chmod(mode)
        told = as_nobody(lambda: recovery.recover(copy, None, login=False, as_json=True))
    assert told == f"4 {copy / name} cannot be read and written by this user"


def as_nobody(command: Callable[[], None]) -> str:
    """How a command fails for another user: its exit code and what it says."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        told = "0 no error"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            command()
        except CommandError as error:
            told = f"{error.code} {error.message}"
        finally:
            os.write(write, told.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text
