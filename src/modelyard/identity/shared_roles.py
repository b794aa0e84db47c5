"""``sharedRoles/`` of any kind of resource: users, groups and organizations that it is shared with (seeds 002, 003).

A slice adds two routes that call ``list_shared_roles`` and ``change_shared_roles``; both check the caller's right.
``offset`` and ``limit`` are documented as required there (``documented_as_required=PAGING``).
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.role_changes import Named, RoleChange, change_roles, require_sharing
from modelyard.identity.roles import Permission
from modelyard.identity.sharing import require
from modelyard.identity.tables import Grant, Group, Organization, ResourceKind, SubjectKind, User
from modelyard.kernel.paging import Limit1000, Offset, Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import Body, Query, Schema

RecipientType = Literal["user", "group", "organization"]
_RECIPIENT_TYPES = [kind.value for kind in SubjectKind]
_SHOWN_AS = {"DEMO_OBSERVER": "OBSERVER", "DEMO_READ_ONLY": "READ_ONLY"}  # AccessControlV2 has no word for these


class AccessControlV2(Schema):
    id: str
    name: str
    role: Literal[
        "ADMIN", "CONSUMER", "DATA_SCIENTIST", "EDITOR", "OBSERVER", "OWNER", "READ_ONLY", "READ_WRITE", "USER"
    ]
    share_recipient_type: RecipientType


class SharedRolesQuery(Query):
    offset: Offset = 0
    limit: Limit1000 = 100
    id: str | None = None
    name: str | None = None
    share_recipient_type: RecipientType | None = None


class GrantAccessControl(Body):
    """A recipient by ``id`` or by ``username`` (of a group or the organization: its name), never by both."""

    role: str  # like the type, checked with everything else, so that all wrong lines are named together
    share_recipient_type: Annotated[str, Meta(extra_json_schema={"enum": _RECIPIENT_TYPES})]
    username: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


_EITHER = {"oneOf": [{"required": ["username"]}, {"required": ["id"]}]}


class SharedRolesUpdate(Body):
    operation: Literal["updateRoles"]
    roles: Annotated[
        list[Annotated[GrantAccessControl, Meta(extra_json_schema=_EITHER)]], Meta(min_length=1, max_length=100)
    ]


class ApplicationSharingUpdateOrRemove(SharedRolesUpdate):
    """The form that applications and their sources have; nobody is notified, so a note goes nowhere."""

    note: str = ""
    send_notification: bool = False


def list_shared_roles(
    session: Session,
    caller: Caller,
    kind: ResourceKind,
    resource_id: str,
    query: SharedRolesQuery,
    request: RequestInfo,
) -> Page[AccessControlV2]:
    """Everybody whom a resource is shared with, oldest grant first."""
    require(session, caller, kind, resource_id, Permission.VIEW)
    name = func.coalesce(User.username, Group.name, Organization.name)
    statement = (
        select(Grant, name)
        .outerjoin(User, User.id == Grant.subject_id)
        .outerjoin(Group, Group.id == Grant.subject_id)
        .outerjoin(Organization, Organization.id == Grant.subject_id)
        .where(Grant.resource_kind == kind.value, Grant.resource_id == resource_id, name.is_not(None))
        .order_by(Grant.created_at, Grant.subject_id)
    )
    if query.id is not None:
        statement = statement.where(Grant.subject_id == query.id)
    if query.name is not None:
        statement = statement.where(name == query.name)
    if query.share_recipient_type is not None:
        statement = statement.where(Grant.subject_kind == query.share_recipient_type)
    return page(session, statement, query, request, lambda rows: [_view(line, shown) for line, shown in rows])


def change_shared_roles(
    session: Session,
    caller: Caller,
    settings: Settings,
    kind: ResourceKind,
    resource_id: str,
    body: SharedRolesUpdate,
) -> None:
    """Sets or takes away (``NO_ROLE``) roles, all or none; raises as ``change_roles`` does."""
    if body.faults:
        require_sharing(session, caller, kind, resource_id)
    faults: dict[str, str] = {}
    wanted: list[RoleChange] = []
    for index, line in enumerate(body.roles):
        problems = _problems(f"roles[{index}]", line)
        faults |= problems
        if not problems:
            by, value = ("username", line.username) if line.id is UNSET else ("id", line.id)
            named = Named(SubjectKind(line.share_recipient_type), by, str(value))
            wanted.append(RoleChange(f"roles[{index}]", named, line.role))
    change_roles(session, caller, settings, kind, resource_id, wanted, faults=faults)


def _problems(field: str, line: GrantAccessControl) -> dict[str, str]:
    problems: dict[str, str] = {}
    if (line.username is UNSET) == (line.id is UNSET):
        problems[field] = "needs either a username or an id"
    if line.share_recipient_type not in _RECIPIENT_TYPES:
        text = f"{line.share_recipient_type!r} is not one of {', '.join(_RECIPIENT_TYPES)}"
        problems[f"{field}.shareRecipientType"] = text
    return problems


def _view(line: Grant, name: str) -> AccessControlV2:
    return AccessControlV2(
        id=line.subject_id,
        name=name,
        role=_SHOWN_AS.get(line.role, line.role),  # type: ignore[arg-type] # grants hold no other names
        share_recipient_type=SubjectKind(line.subject_kind).value,
    )
