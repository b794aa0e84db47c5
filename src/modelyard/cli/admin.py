"""``modelyard admin``: users, groups, organizations and API tokens."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.admin_groups import groups, organizations
from modelyard.cli.admin_users import tokens, users
from modelyard.cli.groups import AsJson, group

app = group("Users, groups, organizations and API tokens.")
app.add_typer(users, name="user")
app.add_typer(groups, name="group")
app.add_typer(organizations, name="org")
app.add_typer(tokens, name="token")


DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="The installation's data directory.", show_default=False)
]


@app.command("adopt")
def adopt(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Have this machine execute runs and deployments, in place of one that is gone or was restored here.

    What was under way on the other one is given up. It must have been silent for a minute.
    """
    importlib.import_module("modelyard.processes.nodes").adopt(data_dir, as_json=as_json)


@app.command("recover")
def recover(
    data_dir: DataDir = None,
    user: Annotated[
        str | None, typer.Option(help="Which administrator; without it, the oldest active one.", show_default=False)
    ] = None,
    login: Annotated[bool, typer.Option("--login", help="Have the CLI use the token from now on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token for an administrator, on the server's own machine, and print it: the only time it can be seen.

    Needs no token, but the rights of the server's user on the data directory. Where no administrator is active, one is
    activated or made.
    """
    importlib.import_module("modelyard.processes.recovery").recover(data_dir, user, login=login, as_json=as_json)
