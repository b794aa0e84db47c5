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

    SEE = "see"  # know that it is there
    USE = "use"  # predict, open
    VIEW = "view"  # see everything of it
    EDIT = "edit"  # change it, run it
    SHARE = "share"
    DELETE = "delete"


_LOOK = frozenset({Permission.SEE, Permission.VIEW})
_READ = _LOOK | {Permission.USE}
_WORK = _READ | {Permission.EDIT}
_OWN = frozenset(Permission)

PERMISSIONS: dict[str, frozenset[Permission]] = {
    "OWNER": _OWN,
    "ADMIN": _OWN,
    "EDITOR": _WORK,
    "USER": _WORK,
    "READ_WRITE": _WORK,
    "DATA_SCIENTIST": _WORK,
    "READ_ONLY": _READ,
    "OBSERVER": _LOOK,
    "DEMO_OBSERVER": _LOOK,
    "DEMO_READ_ONLY": _READ,
    "CONSUMER": frozenset({Permission.SEE, Permission.USE}),
}
OWNING_ROLES = frozenset({"OWNER", "ADMIN"})


def exceeds(role: str, other: str) -> bool:
    """Whether a role allows anything that the other one does not: nobody grants above their own."""
    return not PERMISSIONS[role] <= PERMISSIONS[other]


def combined(role: str, other: str) -> str:
    """The role of who has both: the stronger one, or the one that allows what each of them does."""
    both = PERMISSIONS[role] | PERMISSIONS[other]
    return next(one for one in (role, other, *ROLE_NAMES) if PERMISSIONS[one] == both)
