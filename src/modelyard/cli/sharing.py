"""Sharing, which is the same for every kind of resource."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import Kind, find
from modelyard.cli.screen import Column, done, print_list


class Role(StrEnum):
    OWNER = "OWNER"
    EDITOR = "EDITOR"
    READ_ONLY = "READ_ONLY"
    CONSUMER = "CONSUMER"


def share_command(kind: Kind) -> Callable[..., None]:
    """The command that shows and changes who has which role on a resource of a kind."""

    def share(
        name: Annotated[str, typer.Argument(help=f"The {kind.noun}'s id or name.", show_default=False)],
        user: Annotated[str | None, typer.Argument(help="Whom to share with; without it, who has it.")] = None,
        role: Annotated[Role, typer.Option(case_sensitive=False, help="What they may do.")] = Role.READ_ONLY,
        can_share: Annotated[bool, typer.Option("--can-share", help="They may share it further.")] = False,
        remove: Annotated[bool, typer.Option("--remove", help="Take their role away.")] = False,
        as_json: AsJson = False,
    ) -> None:
        api = connect()
        found = find(api, kind, name)
        path = f"{kind.path}{found[kind.id]}/accessControl/"
        if user is not None:
            line = {"username": user, "role": None if remove else role.value}
            api.patch(path, {"data": [line if remove else line | {"canShare": can_share}]})
            what = f"{user} has no role on it any more." if remove else f"{user} is now {role.value}."
            done(f"{found[kind.name]}: {what}", line | {"id": found[kind.id]}, as_json=as_json)
            return
        columns: list[Column] = [("user", "username"), ("role", "role"), ("may share", "canShare")]
        print_list(api.pages(path), columns, as_json=as_json, nothing="Nobody has a role on it.")

    share.__doc__ = f"Share this {kind.noun}, or show who has which role."
    return share


class Recipient(StrEnum):
    USER = "user"
    GROUP = "group"
    ORGANIZATION = "organization"


def share_roles_command(kind: Kind) -> Callable[..., None]:
    """The same for a kind that is shared through ``sharedRoles/``, with groups and organizations too."""

    def share(
        name: Annotated[str, typer.Argument(help=f"The {kind.noun}'s id or name.", show_default=False)],
        recipient: Annotated[str | None, typer.Argument(help="Whom to share with; without it, who has it.")] = None,
        kind_of_recipient: Annotated[
            Recipient, typer.Option("--with", case_sensitive=False, help="What the recipient is.")
        ] = Recipient.USER,
        role: Annotated[Role, typer.Option(case_sensitive=False, help="What they may do.")] = Role.READ_ONLY,
        remove: Annotated[bool, typer.Option("--remove", help="Take their role away.")] = False,
        as_json: AsJson = False,
    ) -> None:
        api = connect()
        found = find(api, kind, name)
        path = f"{kind.path}{found[kind.id]}/sharedRoles/"
        if recipient is not None:
            line = {
                "username": recipient,
                "shareRecipientType": kind_of_recipient.value,
                "role": "NO_ROLE" if remove else role.value,
            }
            api.patch(path, {"operation": "updateRoles", "roles": [line]})
            what = f"{recipient} has no role on it any more." if remove else f"{recipient} is now {role.value}."
            done(f"{found[kind.name]}: {what}", line | {"id": found[kind.id]}, as_json=as_json)
            return
        columns: list[Column] = [("name", "name"), ("is a", "shareRecipientType"), ("role", "role")]
        print_list(api.pages(path), columns, as_json=as_json, nothing="Nobody has a role on it.")

    share.__doc__ = f"Share this {kind.noun}, or show who has which role."
    return share
