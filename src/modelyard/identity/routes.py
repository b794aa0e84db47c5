"""HTTP of identity: who am I, which version is this, and the administration of accounts."""

from sqlalchemy.orm import Session

from modelyard.identity import groups, organizations, service, tokens
from modelyard.identity.caller import Caller
from modelyard.identity.schemas import (
    AccountInfoResponse,
    ApiTokenCreate,
    ApiTokenCreatedResponse,
    ApiTokenListQuery,
    ApiTokenResponse,
    GroupCreate,
    GroupListQuery,
    GroupResponse,
    GroupUpdate,
    MemberAdd,
    OrganizationCreate,
    OrganizationResponse,
    OrganizationUpdate,
    PingResponse,
    UserCreate,
    UserListQuery,
    UserResponse,
    UserUpdate,
    VersionResponse,
)
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import RequestInfo, endpoint


@endpoint("GET", "/ping", tag="Info")
def ping() -> PingResponse:
    """Tell that the API is there. Needs no token."""
    return PingResponse()


@endpoint("GET", "/version/", tag="Info")
def read_installed_version(caller: Caller) -> VersionResponse:  # asked by clients to learn whether their token is valid
    """Read the version of this installation."""
    return service.installed_version()


@endpoint("GET", "/account/info/", tag="Info")
def read_account(session: Session, caller: Caller) -> AccountInfoResponse:
    """Read who you are and what you may do."""
    return service.read_account(session, caller)


@endpoint("GET", "/users/", tag="Users", errors=(403,))
def list_users(session: Session, caller: Caller, query: UserListQuery, request: RequestInfo) -> Page[UserResponse]:
    """List users by name. For administrators."""
    return service.list_users(session, caller, query, request)


@endpoint("POST", "/users/", status=201, tag="Users", errors=(403, 409, 422))
def create_user(session: Session, caller: Caller, body: UserCreate) -> UserResponse:
    """Create a user. For administrators."""
    return service.create_user(session, caller, body)


@endpoint("GET", "/users/{userId}/", tag="Users", errors=(403, 404))
def read_user(session: Session, caller: Caller, user_id: str) -> UserResponse:
    """Read a user. For administrators, and for the user."""
    return service.read_user(session, caller, user_id)


@endpoint("PATCH", "/users/{userId}/", tag="Users", errors=(403, 404, 409, 422))
def update_user(session: Session, caller: Caller, user_id: str, body: UserUpdate) -> UserResponse:
    """Change a user. Deactivating one ends all their access at once. For administrators."""
    return service.update_user(session, caller, user_id, body)


@endpoint("GET", "/groups/", tag="Groups", errors=(403,))
def list_groups(session: Session, caller: Caller, query: GroupListQuery, request: RequestInfo) -> Page[GroupResponse]:
    """List groups by name. For administrators."""
    return groups.list_groups(session, caller, query, request)


@endpoint("POST", "/groups/", status=201, tag="Groups", errors=(403, 409, 422))
def create_group(session: Session, caller: Caller, body: GroupCreate) -> GroupResponse:
    """Create a group. For administrators."""
    return groups.create_group(session, caller, body)


@endpoint("GET", "/groups/{groupId}/", tag="Groups", errors=(403, 404))
def read_group(session: Session, caller: Caller, group_id: str) -> GroupResponse:
    """Read a group. For administrators."""
    return groups.read_group(session, caller, group_id)


@endpoint("PATCH", "/groups/{groupId}/", tag="Groups", errors=(403, 404, 409, 422))
def update_group(session: Session, caller: Caller, group_id: str, body: GroupUpdate) -> GroupResponse:
    """Rename a group. For administrators."""
    return groups.rename_group(session, caller, group_id, body)


@endpoint("DELETE", "/groups/{groupId}/", status=204, tag="Groups", errors=(403, 404, 409))
def delete_group(session: Session, caller: Caller, group_id: str) -> None:
    """Delete a group that nothing is shared with any more. For administrators."""
    groups.delete_group(session, caller, group_id)


@endpoint("GET", "/groups/{groupId}/members/", tag="Groups", errors=(403, 404))
def list_members(
    session: Session, caller: Caller, group_id: str, query: PageQuery, request: RequestInfo
) -> Page[UserResponse]:
    """List the users of a group by name. For administrators."""
    return groups.list_members(session, caller, group_id, query, request)


@endpoint("POST", "/groups/{groupId}/members/", status=204, tag="Groups", errors=(403, 404, 422))
def add_member(session: Session, caller: Caller, group_id: str, body: MemberAdd) -> None:
    """Add a user to a group; one who is in it already stays. For administrators."""
    groups.add_member(session, caller, group_id, body)


@endpoint("DELETE", "/groups/{groupId}/members/{userId}/", status=204, tag="Groups", errors=(403, 404))
def remove_member(session: Session, caller: Caller, group_id: str, user_id: str) -> None:
    """Take a user out of a group. For administrators."""
    groups.remove_member(session, caller, group_id, user_id)


@endpoint("GET", "/organizations/", tag="Organizations", errors=(403,))
def list_organizations(
    session: Session, caller: Caller, query: PageQuery, request: RequestInfo
) -> Page[OrganizationResponse]:
    """List organizations by name. For administrators."""
    return organizations.list_organizations(session, caller, query, request)


@endpoint("POST", "/organizations/", status=201, tag="Organizations", errors=(403, 409, 422))
def create_organization(session: Session, caller: Caller, body: OrganizationCreate) -> OrganizationResponse:
    """Create an organization. For administrators."""
    return organizations.create_organization(session, caller, body)


@endpoint("GET", "/organizations/{organizationId}/", tag="Organizations", errors=(403, 404))
def read_organization(session: Session, caller: Caller, organization_id: str) -> OrganizationResponse:
    """Read an organization. For administrators."""
    return organizations.read_organization(session, caller, organization_id)


@endpoint("PATCH", "/organizations/{organizationId}/", tag="Organizations", errors=(403, 404, 409, 422))
def update_organization(
    session: Session, caller: Caller, organization_id: str, body: OrganizationUpdate
) -> OrganizationResponse:
    """Rename an organization. For administrators."""
    return organizations.rename_organization(session, caller, organization_id, body)


@endpoint("GET", "/apiTokens/", tag="ApiTokens", errors=(403,))
def list_tokens(
    session: Session, caller: Caller, query: ApiTokenListQuery, request: RequestInfo
) -> Page[ApiTokenResponse]:
    """List your living API tokens, newest first; an administrator may name another user."""
    return tokens.list_tokens(session, caller, query, request)


@endpoint("POST", "/apiTokens/", status=201, tag="ApiTokens", errors=(403, 404, 422))
def create_token(session: Session, caller: Caller, body: ApiTokenCreate) -> ApiTokenCreatedResponse:
    """Make an API token. Its text is in this answer and never again; an administrator may make one for a user."""
    return tokens.create_token(session, caller, body)


@endpoint("DELETE", "/apiTokens/{tokenId}/", status=204, tag="ApiTokens", errors=(404,))
def revoke_token(session: Session, caller: Caller, token_id: str) -> None:
    """Revoke an API token of yours; an administrator may revoke anybody's."""
    tokens.revoke_token(session, caller, token_id)
