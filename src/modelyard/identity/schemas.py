"""Wire types of users, groups, organizations and API tokens.

The documentation names only ``version/``, ``ping`` and ``account/info/`` (supporting-endpoints.md A.1, A.13); the
administration of accounts is Modelyard's own, in the same manner.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import Body, Moment, Schema

Name = Annotated[str, Meta(min_length=1, max_length=255)]
OptionalText = Annotated[str, Meta(max_length=255)] | None
EntityId = Annotated[str, Meta(pattern=r"^[0-9a-f]{24}$")]
TokenScope = Literal["full"]


class VersionResponse(Schema):
    major: int
    minor: int
    version_string: str
    released_version: str


class PingResponse(Schema):
    response: Literal["pong"] = "pong"


class AccountInfoResponse(Schema):
    uid: str
    username: str
    email: str | None
    first_name: str | None
    last_name: str | None
    org_id: str
    tenant_id: str
    permissions: dict[str, bool]


class UserResponse(Schema):
    id: str
    username: str
    email: str | None
    first_name: str | None
    last_name: str | None
    organization_id: str
    is_admin: bool
    is_active: bool
    created_at: Moment


class UserListQuery(PageQuery):
    search: str | None = None
    organization_id: str | None = None
    is_active: bool | None = None


class UserCreate(Body):
    username: Name
    email: OptionalText = None
    first_name: OptionalText = None
    last_name: OptionalText = None
    organization_id: EntityId | None = None
    is_admin: bool = False


class UserUpdate(Body):
    email: OptionalText | UnsetType = UNSET
    first_name: OptionalText | UnsetType = UNSET
    last_name: OptionalText | UnsetType = UNSET
    is_admin: bool | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class GroupResponse(Schema):
    id: str
    name: str
    organization_id: str
    members_count: int
    created_at: Moment


class GroupListQuery(PageQuery):
    search: str | None = None
    organization_id: str | None = None


class GroupCreate(Body):
    name: Name
    organization_id: EntityId | None = None


class GroupUpdate(Body):
    name: Name


class MemberAdd(Body):
    user_id: EntityId


class OrganizationResponse(Schema):
    id: str
    name: str
    users_count: int
    created_at: Moment


class OrganizationCreate(Body):
    name: Name


class OrganizationUpdate(Body):
    name: Name


class ApiTokenResponse(Schema):
    id: str
    name: str
    user_id: str
    username: str
    scope: TokenScope
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class ApiTokenCreatedResponse(ApiTokenResponse):
    token: str


class ApiTokenListQuery(PageQuery):
    user_id: EntityId | None = None


class ApiTokenCreate(Body):
    name: Name
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    user_id: EntityId | None = None
    scope: TokenScope = "full"
