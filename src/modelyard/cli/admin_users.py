"""``modelyard admin user`` and ``token``."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from modelyard.cli.client import Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import ORGANIZATION, USER, find
from modelyard.cli.screen import Column, done, note, print_details, print_json, print_list, show_time

users = group("Users. For administrators.")
tokens = group("API tokens: yours, or for administrators anybody's.")

User = Annotated[str, typer.Argument(help="The user's id or name.", show_default=False)]
TOKENS = "/apiTokens/"

DETAILS: list[Column] = [
    ("User", "username"),
    ("Id", "id"),
    ("Email", "email"),
    ("First name", "firstName"),
    ("Last name", "lastName"),
    ("Organization", "organizationId"),
    ("Administrator", "isAdmin"),
    ("Active", "isActive"),
    ("Created", lambda one: show_time(one["createdAt"])),
]


@users.command("list")
def list_users(
    search: Annotated[str | None, typer.Option(help="Only those whose names or email hold this.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the users."""
    columns: list[Column] = [
        ("id", "id"),
        ("user", "username"),
        ("email", "email"),
        ("admin", "isAdmin"),
        ("active", "isActive"),
        ("created", lambda one: show_time(one["createdAt"])),
    ]
    print_list(connect().pages(USER.path, search=search), columns, as_json=as_json, nothing="No user matches.")


@users.command("show")
def show_user(user: User, as_json: AsJson = False) -> None:
    """Show a user."""
    print_details(find(connect(), USER, user), DETAILS, as_json=as_json)


@users.command("create")
def create_user(
    username: Annotated[str, typer.Argument(help="A name without spaces.", show_default=False)],
    email: Annotated[str | None, typer.Option()] = None,
    first_name: Annotated[str | None, typer.Option()] = None,
    last_name: Annotated[str | None, typer.Option()] = None,
    org: Annotated[str | None, typer.Option(help="Organization (id or name); else yours.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make an administrator.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a user. Give them a token with: admin token create NAME --user USER."""
    api = connect()
    body: Json = {
        "username": username,
        "email": email,
        "firstName": first_name,
        "lastName": last_name,
        "isAdmin": admin,
    }
    if org:
        body["organizationId"] = find(api, ORGANIZATION, org)["id"]
    made = api.post(USER.path, body)
    done(f"Made the user {made['username']} ({made['id']}).", made, as_json=as_json)


@users.command("update")
def update_user(
    user: User,
    email: Annotated[str | None, typer.Option()] = None,
    first_name: Annotated[str | None, typer.Option()] = None,
    last_name: Annotated[str | None, typer.Option()] = None,
    admin: Annotated[bool | None, typer.Option("--admin/--no-admin", help="Whether they administer.")] = None,
    active: Annotated[bool | None, typer.Option("--active/--inactive", help="Whether they have any access.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a user. One who is inactive has no access from then on."""
    wanted = {"email": email, "firstName": first_name, "lastName": last_name, "isAdmin": admin, "isActive": active}
    body = {name: value for name, value in wanted.items() if value is not None}
    if not body:
        raise CommandError(
            "nothing to change was named", hint="modelyard admin user update --help", code=ExitCode.USAGE
        )
    api = connect()
    changed = api.patch(f"{USER.path}{find(api, USER, user)['id']}/", body)
    done(f"Changed the user {changed['username']}.", changed, as_json=as_json)


@tokens.command("list")
def list_tokens(
    user: Annotated[str | None, typer.Option(help="Another user's (id or name); for administrators.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the living tokens. Their texts are never shown again."""
    api = connect()
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("user", "username"),
        ("created", lambda one: show_time(one["createdAt"])),
        ("expires", lambda one: show_time(one["expiresAt"])),
        ("last used", lambda one: show_time(one["lastUsedAt"])),
    ]
    found = api.pages(TOKENS, userId=find(api, USER, user)["id"] if user else None)
    print_list(found, columns, as_json=as_json, nothing="There is no token: modelyard admin token create NAME")


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    user: Annotated[str | None, typer.Option(help="For another user (id or name); for administrators.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="How long it lives; else until it is revoked.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: the only time that it can be seen."""
    api = connect()
    body: Json = {"name": name}
    if user:
        body["userId"] = find(api, USER, user)["id"]
    if days is not None:
        body["expiresAt"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    made = api.post(TOKENS, body)
    if as_json:
        print_json(made)
        return
    note(f"The token {made['name']} of {made['username']}; it is shown only now:")
    print(made["token"])


@tokens.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="The token's id, or the name of one of yours.", show_default=False)],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End a token at once."""
    api = connect()
    mine = [one for one in api.pages(TOKENS) if token in {one["id"], one["name"]}]
    if len(mine) > 1:
        ids = ", ".join(one["id"] for one in mine)
        raise CommandError(f"{len(mine)} of your tokens are called {token!r}: {ids}", hint="name one by its id")
    token_id = mine[0]["id"] if mine else token
    confirm(f"Revoke the token {token}?", yes=yes)
    api.delete(f"{TOKENS}{token_id}/")
    done(f"Revoked the token {token}.", {"id": token_id, "revoked": True}, as_json=as_json)
