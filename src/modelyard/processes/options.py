"""The options that server commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

from modelyard.app import Application, build
from modelyard.cli.errors import CommandError
from modelyard.kernel.data_dir import open_folders
from modelyard.kernel.private_folders import UnsafeFolderError
from modelyard.kernel.secret_box import SecretKeyError
from modelyard.kernel.settings import Settings

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Where everything is kept.", show_default=False)]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.", show_default="127.0.0.1")]
Port = Annotated[int | None, typer.Option("--port", help="Port of the API.", show_default="8000", min=1, max=65535)]
GatewayPort = Annotated[
    int | None, typer.Option("--gateway-port", help="Port of predictions.", show_default="8001", min=1, max=65535)
]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def open_application(settings: Settings) -> Application:
    """The application; a ``CommandError`` says what to do where its folders or its keys cannot be used."""
    try:
        return build(settings)
    except (SecretKeyError, UnsafeFolderError) as error:
        raise CommandError(str(error)) from None


def check_folders(settings: Settings) -> None:
    """Raise a ``CommandError`` where another user could have a part in this installation's folders."""
    try:
        open_folders(settings)
    except UnsafeFolderError as error:
        raise CommandError(str(error)) from None


def read_settings(
    data_dir: Path | None = None, host: str | None = None, port: int | None = None, gateway_port: int | None = None
) -> Settings:
    """The settings of the environment, with what the command line says on top.

    From here on what this process makes is readable by its user alone, unless a mode is set that says otherwise.
    """
    os.umask(0o077)
    given = {"data_dir": data_dir, "host": host, "port": port, "gateway_port": gateway_port}
    return Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
