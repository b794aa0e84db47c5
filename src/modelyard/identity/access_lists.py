"""``accessControl/`` of any kind of resource: who it is shared with, and sharing it."""

from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.role_changes import Named, RoleChange, change_roles, require_sharing
from modelyard.identity.roles import PERMISSIONS, Permission, RoleName
from modelyard.identity.sharing import user_grants
from modelyard.identity.tables import ResourceKind, SubjectKind
from modelyard.kernel.paging import Page, PageQuery, slice_page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import Body, Schema


class AccessControlResponse(Schema):
    can_share: bool
    role: str
    user_id: str
    username: str


class UserRoleWithGrant(Body):
    """``role`` null or ``NO_ROLE`` takes the user's role away."""

    role: RoleName | Literal["NO_ROLE"] | None
    username: str
    can_share: bool | None = None


class SharingUpdateOrRemoveWithGrant(Body):
    data: Annotated[list[UserRoleWithGrant], Meta(max_length=100)]


def list_access(
    session: Session, kind: ResourceKind, resource_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """The users that a resource is shared with, oldest grant first. The caller's right to see it is checked before."""
    lines = [
        AccessControlResponse(
            can_share=line.can_share or Permission.SHARE in PERMISSIONS[line.role],
            role=line.role,
            user_id=user.id,
            username=user.username,
        )
        for line, user in user_grants(session, kind, resource_id)
    ]
    return slice_page(lines, query, request)


def change_access(
    session: Session,
    caller: Caller,
    settings: Settings,
    kind: ResourceKind,
    resource_id: str,
    body: SharingUpdateOrRemoveWithGrant,
) -> None:
    """Sets or takes away users' roles, all or none; raises as ``change_roles`` does."""
    if body.faults:
        require_sharing(session, caller, kind, resource_id)
    wanted = [
        RoleChange(f"data[{index}]", Named(SubjectKind.USER, "username", line.username), line.role, line.can_share)
        for index, line in enumerate(body.data)
    ]
    change_roles(session, caller, settings, kind, resource_id, wanted)
