"""The options that server commands share."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from modelyard.app import Application, build
from modelyard.cli.errors import CommandError
from modelyard.compute.isolation import Isolation
from modelyard.identity.accounts import token_error
from modelyard.kernel.data_dir import open_folders
from modelyard.kernel.private_folders import UnsafeFolderError
from modelyard.kernel.secret_box import SecretKeyError
from modelyard.kernel.settings import Settings

PREFIX = "MODELYARD_"
BOOTSTRAP_VARIABLE = "MODELYARD_BOOTSTRAP_TOKEN"
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option("--port", help="Port of the API.", show_default="8000", min=1, max=65535)]
GatewayPort = Annotated[
    int | None, typer.Option("--gateway-port", help="Port of predictions.", show_default="8001", min=1, max=65535)
]
NoSandbox = Annotated[
    bool, typer.Option("--no-sandbox", help="Run user code without a sandbox (MODELYARD_SANDBOX=off). Not safe.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def open_application(settings: Settings, isolation: Isolation | None = None) -> Application:
    """The application; a ``CommandError`` says what to do where its folders or its keys cannot be used."""
    try:
        return build(settings, isolation)
    except (SecretKeyError, UnsafeFolderError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(
            f"{error.filename or settings.data_dir} cannot be used: {error.strerror or error}",
            hint="choose another folder with MODELYARD_DATA_DIR or --data-dir, or run this as the server's own user",
        ) from None


@contextlib.contextmanager
def explaining_database(settings: Settings) -> Iterator[None]:
    """Raise a ``CommandError`` of one line where the database cannot be used."""
    try:
        yield
    except (SQLAlchemyError, psycopg.Error, sqlite3.Error) as error:
        reason = (str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__])[0]
        where = make_url(settings.database()).render_as_string(hide_password=True)
        hint = "see that it is running and that its user may write it"
        if settings.database_url is not None:
            hint += "; MODELYARD_DATABASE_URL names another"
        raise CommandError(f"the database {where} cannot be used: {reason}", hint=hint) from None


def check_folders(settings: Settings) -> None:
    """Raise a ``CommandError`` where another user could have a part in this installation's folders."""
    try:
        open_folders(settings)
    except UnsafeFolderError as error:
        raise CommandError(str(error)) from None


def require_sandbox(isolation: Isolation) -> None:
    """Raise a ``CommandError`` where user code would have to run without a sandbox that nobody switched off."""
    if not isolation.is_sandboxed and not isolation.is_off:
        raise CommandError(
            f"user code cannot run in a sandbox here: {isolation.sandbox.why}",
            hint=f"{isolation.sandbox.remedy}. To run user code without a sandbox, which is not safe: --no-sandbox or "
            "MODELYARD_SANDBOX=off",
        )


def read_settings(
    data_dir: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    gateway_port: int | None = None,
    *,
    no_sandbox: bool = False,
) -> Settings:
    """The settings of the environment, with what the command line says on top.

    Raises ``CommandError`` for settings that are wrong, which names them and shows no value: it may be a secret. From
    here on what this process makes is readable by its user alone, unless a mode is set that says otherwise.
    """
    os.umask(0o077)
    sandbox = "off" if no_sandbox else None
    given = {"data_dir": data_dir, "host": host, "port": port, "gateway_port": gateway_port, "sandbox": sandbox}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except (ValidationError, SettingsError) as error:
        raise CommandError(_wrong_settings(error), hint="docs/operations.md lists the settings") from None
    if settings.bootstrap_token is not None:
        _check_bootstrap_token(settings.bootstrap_token.get_secret_value())
    return settings


def _check_bootstrap_token(token: str) -> None:
    error = token_error(token)
    if error is not None:
        hint = "unset it, and the first start makes a token; or make one with: openssl rand -hex 32"
        raise CommandError(f"{BOOTSTRAP_VARIABLE} {error}", hint=hint)


def _wrong_settings(error: ValidationError | SettingsError) -> str:
    if isinstance(error, SettingsError):
        return str(error)
    found = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False)]
    names = [name if name.startswith(PREFIX) else f"{PREFIX}{name.upper()}" for name, _ in found]
    return "; ".join(f"{name}: {text}" for name, (_, text) in zip(names, found, strict=True))
