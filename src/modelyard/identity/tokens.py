"""Use cases of API tokens. A token is shown when it is made; afterwards only its digest is known."""

from datetime import UTC, datetime

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.accounts import add_token
from modelyard.identity.administration import find_user, require_admin
from modelyard.identity.caller import Caller, new_token
from modelyard.identity.schemas import (
    ApiTokenCreate,
    ApiTokenCreatedResponse,
    ApiTokenListQuery,
    ApiTokenResponse,
)
from modelyard.identity.tables import ApiToken, User
from modelyard.kernel.errors import NotFound, invalid
from modelyard.kernel.paging import Page, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import moment


def list_tokens(
    session: Session, caller: Caller, query: ApiTokenListQuery, request: RequestInfo
) -> Page[ApiTokenResponse]:
    """The living tokens of the caller, or of the user whom an administrator names."""
    user_id = _for_whom(caller, query.user_id)
    now = datetime.now(UTC)
    statement = (
        select(ApiToken, User)
        .join(User, User.id == ApiToken.user_id)
        .where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None), ApiToken.holder_id.is_(None))
        .where(or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now))
        .order_by(ApiToken.id.desc())
    )
    return page(session, statement, query, request, lambda rows: [_view(token, user) for token, user in rows])


def create_token(session: Session, caller: Caller, body: ApiTokenCreate) -> ApiTokenCreatedResponse:
    """Makes a token for the caller, or for the active user whom an administrator names."""
    caller.require_full_scope()
    user = find_user(session, _for_whom(caller, body.user_id))
    if not user.is_active:
        raise invalid(userId=f"user {user.username} is not active")
    text = new_token()
    token = add_token(session, user.id, body.name, text, expires_at=_future(body.expires_at), scope=body.scope)
    audit.record(session, caller, "create", "apiToken", token.id, {"name": token.name, "userId": user.id})
    return ApiTokenCreatedResponse(**msgspec.structs.asdict(_view(token, user)), token=text)


def revoke_token(session: Session, caller: Caller, token_id: str) -> None:
    """Ends a token at once; others' tokens are not found unless the caller is an administrator."""
    caller.require_full_scope()
    token = session.get(ApiToken, token_id, with_for_update=True)
    if token is None or token.revoked_at is not None or not (token.user_id == caller.user_id or caller.is_admin):
        raise NotFound(f"There is no living API token {token_id} that you may revoke.")
    token.revoked_at = datetime.now(UTC)
    audit.record(session, caller, "revoke", "apiToken", token.id, {"name": token.name, "userId": token.user_id})


def _for_whom(caller: Caller, user_id: str | None) -> str:
    if user_id is not None and user_id != caller.user_id:
        require_admin(caller)
    return user_id or caller.user_id


def _future(moment_: datetime | None) -> datetime | None:
    if moment_ is None:
        return None
    if moment_ <= datetime.now(UTC):
        raise invalid(expiresAt=f"must be in the future; {moment_.isoformat()} is past")
    return moment_


def _view(token: ApiToken, user: User) -> ApiTokenResponse:
    return ApiTokenResponse(
        id=token.id,
        name=token.name,
        user_id=user.id,
        username=user.username,
        scope="full",
        created_at=moment(token.created_at),
        expires_at=moment(token.expires_at) if token.expires_at else None,
        last_used_at=moment(token.last_used_at) if token.last_used_at else None,
    )
