"""``modelyard login``, ``whoami`` and ``logout``."""

import os
import sys
from typing import Annotated

import typer

from modelyard.cli import config
from modelyard.cli.client import Api, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson
from modelyard.cli.screen import Column, done, note, print_details


def login(
    url: Annotated[str, typer.Argument(help="The server's address, such as http://localhost:8000.")],
    token: Annotated[
        str | None, typer.Option("--token", help="Your API token; without it you are asked, or - reads it from stdin.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Remember a server and your token for it, once the server has accepted the token."""
    if token == "-":  # noqa: S105 # the usual name of stdin
        token = sys.stdin.readline().strip()
    if token is None:
        token = typer.prompt("API token", hide_input=True, err=True).strip()
    if not token:
        raise CommandError("the token is empty", code=ExitCode.USAGE)
    endpoint = config.normal_endpoint(url)
    account = Api(config.Account(endpoint, token, "the command line")).get("/account/info/")
    file = config.remember(endpoint, token)
    done(
        f"Logged in to {endpoint} as {account['username']}. The token is in {file}.",
        {"endpoint": endpoint, "username": account["username"], "configFile": str(file)},
        as_json=as_json,
    )
    _warn_of_environment()


def whoami(as_json: AsJson = False) -> None:
    """Show who you are, and on which server."""
    api = connect()
    account = api.get("/account/info/")
    found = account | {"endpoint": api.account.endpoint, "tokenFrom": api.account.source}
    rows: list[Column] = [
        ("User", "username"),
        ("Email", "email"),
        ("Administrator", "permissions.administration"),
        ("Server", "endpoint"),
        ("Token from", "tokenFrom"),
    ]
    print_details(found, rows, as_json=as_json)


def logout(as_json: AsJson = False) -> None:
    """Forget the server and the token. The token itself stays valid: revoke it with admin token revoke."""
    file = config.forget()
    done(
        f"Forgot the account in {file}." if file else "You were not logged in.",
        {"loggedOut": file is not None},
        as_json=as_json,
    )
    _warn_of_environment()


def _warn_of_environment() -> None:
    names = [name for name in (config.ENDPOINT_VARIABLE, config.TOKEN_VARIABLE) if os.environ.get(name)]
    if names:
        note(f"note: {' and '.join(names)} in the environment still win{'s' if len(names) == 1 else ''}")
