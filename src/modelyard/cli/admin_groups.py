"""``modelyard admin group`` and ``org``."""

from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import GROUP, ORGANIZATION, USER, find
from modelyard.cli.screen import Column, done, print_list, show_time

groups = group("Groups of users. For administrators.")
organizations = group("Organizations. For administrators.")

Group = Annotated[str, typer.Argument(help="The group's id or name.", show_default=False)]
User = Annotated[str, typer.Argument(help="The user's id or name.", show_default=False)]
Name = Annotated[str, typer.Argument(help="What it is called.", show_default=False)]


@groups.command("list")
def list_groups(as_json: AsJson = False) -> None:
    """List the groups."""
    columns: list[Column] = [
        ("id", "id"),
        ("group", "name"),
        ("members", "membersCount"),
        ("created", lambda one: show_time(one["createdAt"])),
    ]
    nothing = "There is no group: modelyard admin group create NAME"
    print_list(connect().pages(GROUP.path), columns, as_json=as_json, nothing=nothing)


@groups.command("create")
def create_group(
    name: Name,
    org: Annotated[str | None, typer.Option(help="Organization (id or name); else yours.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a group."""
    api = connect()
    body = {"name": name} | ({"organizationId": find(api, ORGANIZATION, org)["id"]} if org else {})
    made = api.post(GROUP.path, body)
    done(f"Made the group {made['name']} ({made['id']}).", made, as_json=as_json)


@groups.command("rename")
def rename_group(group: Group, name: Name, as_json: AsJson = False) -> None:
    """Rename a group."""
    api = connect()
    changed = api.patch(f"{GROUP.path}{find(api, GROUP, group)['id']}/", {"name": name})
    done(f"It is called {changed['name']} now.", changed, as_json=as_json)


@groups.command("members")
def list_members(group: Group, as_json: AsJson = False) -> None:
    """List the users of a group."""
    api = connect()
    columns: list[Column] = [("id", "id"), ("user", "username"), ("email", "email"), ("active", "isActive")]
    found = api.pages(f"{GROUP.path}{find(api, GROUP, group)['id']}/members/")
    print_list(found, columns, as_json=as_json, nothing="Nobody is in it: modelyard admin group add GROUP USER")


@groups.command("add")
def add_member(group: Group, user: User, as_json: AsJson = False) -> None:
    """Put a user into a group."""
    api = connect()
    found, member = find(api, GROUP, group), find(api, USER, user)
    api.post(f"{GROUP.path}{found['id']}/members/", {"userId": member["id"]})
    result = {"groupId": found["id"], "userId": member["id"], "member": True}
    done(f"{member['username']} is in {found['name']}.", result, as_json=as_json)


@groups.command("remove")
def remove_member(group: Group, user: User, as_json: AsJson = False) -> None:
    """Take a user out of a group."""
    api = connect()
    found, member = find(api, GROUP, group), find(api, USER, user)
    api.delete(f"{GROUP.path}{found['id']}/members/{member['id']}/")
    result = {"groupId": found["id"], "userId": member["id"], "member": False}
    done(f"{member['username']} is no longer in {found['name']}.", result, as_json=as_json)


@groups.command("delete")
def delete_group(group: Group, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a group that nothing is shared with."""
    api = connect()
    found = find(api, GROUP, group)
    confirm(f"Delete the group {found['name']}?", yes=yes)
    api.delete(f"{GROUP.path}{found['id']}/")
    done(f"Deleted the group {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


@organizations.command("list")
def list_organizations(as_json: AsJson = False) -> None:
    """List the organizations."""
    columns: list[Column] = [
        ("id", "id"),
        ("organization", "name"),
        ("users", "usersCount"),
        ("created", lambda one: show_time(one["createdAt"])),
    ]
    print_list(connect().pages(ORGANIZATION.path), columns, as_json=as_json, nothing="There is none.")


@organizations.command("create")
def create_organization(name: Name, as_json: AsJson = False) -> None:
    """Make an organization."""
    made = connect().post(ORGANIZATION.path, {"name": name})
    done(f"Made the organization {made['name']} ({made['id']}).", made, as_json=as_json)


@organizations.command("rename")
def rename_organization(
    organization: Annotated[str, typer.Argument(help="The organization's id or name.", show_default=False)],
    name: Name,
    as_json: AsJson = False,
) -> None:
    """Rename an organization."""
    api = connect()
    changed = api.patch(f"{ORGANIZATION.path}{find(api, ORGANIZATION, organization)['id']}/", {"name": name})
    done(f"It is called {changed['name']} now.", changed, as_json=as_json)
