"""Roles, and the permissions that follow from them. One table, read by every use case."""

from enum import Enum
from typing import Literal, get_args

RoleName = Literal[
    "ADMIN",
    "CONSUMER",
    "DATA_SCIENTIST",
    "EDITOR",
    "OBSERVER",
    "OWNER",
    "READ_ONLY",
    "READ_WRITE",
    "USER",
    "DEMO_OBSERVER",
    "DEMO_READ_ONLY",
]
ROLE_NAMES: tuple[str, ...] = get_args(RoleName)


class Permission(Enum):
    """What one may do to a resource. Named verb first, for any kind of resource."""

    USE = "use"  # predict, open
    VIEW = "view"  # see everything of it
    EDIT = "edit"  # change it, run it
    SHARE = "share"
    DELETE = "delete"


_LOOK = frozenset({Permission.USE, Permission.VIEW})
_WORK = _LOOK | {Permission.EDIT}
_OWN = frozenset(Permission)

PERMISSIONS: dict[str, frozenset[Permission]] = {
    "OWNER": _OWN,
    "ADMIN": _OWN,
    "EDITOR": _WORK,
    "USER": _WORK,
    "READ_WRITE": _WORK,
    "DATA_SCIENTIST": _WORK,
    "READ_ONLY": _LOOK,
    "OBSERVER": _LOOK,
    "DEMO_OBSERVER": _LOOK,
    "DEMO_READ_ONLY": _LOOK,
    "CONSUMER": frozenset({Permission.USE}),
}
OWNING_ROLES = frozenset({"OWNER", "ADMIN"})


def rank(role: str) -> int:
    """How much a role allows; of two grants the higher rank counts, and nobody grants above their own."""
    return len(PERMISSIONS[role])
