"""The caller of a request: found by an API token, or by nothing else yet."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.identity.tables import ApiToken, GroupMember, User
from modelyard.kernel.errors import Forbidden, Unauthorized

TOKEN_PREFIX = "my_"  # noqa: S105 # the beginning of every token, so that scanners can find leaked ones

FULL_SCOPE = "full"
LENT_SCOPE = "lent"
"""Of tokens that workloads get: everything their user may do, but nothing about accounts and tokens."""


@dataclass(frozen=True)
class Caller:
    """An authenticated user. ``subject_ids`` are all ids under which something can be shared with them."""

    user_id: str
    username: str
    organization_id: str
    is_admin: bool
    subject_ids: tuple[str, ...]
    token_id: str | None = None
    scope: str = FULL_SCOPE

    def require_full_scope(self) -> None:
        """Raises ``Forbidden`` for a token that was lent to a workload: what it may do ends with the workload."""
        if self.scope != FULL_SCOPE:
            raise Forbidden("The token of a running workload cannot manage accounts and tokens; use one of your own.")


def new_token() -> str:
    """A random token of 256 bits, as the user sees it."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """What is stored of a token. It is random and long, so one round of SHA-256 needs no salt."""
    return hashlib.sha256(token.encode()).digest()


def read_token(headers: Mapping[str, str]) -> str:
    """The token in ``Authorization: Bearer …`` or ``Token …``; raises ``Unauthorized``."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() not in {"bearer", "token"} or not token.strip():
        raise Unauthorized(
            "This needs an API token: send the header 'Authorization: Bearer TOKEN'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return token.strip()


def authenticate(session: Session, headers: Mapping[str, str]) -> Caller:
    """The caller whose token the headers carry; raises ``Unauthorized`` for an unknown, expired or revoked one."""
    caller = find_caller(session, token_digest(read_token(headers)))
    if caller is None:
        raise Unauthorized(
            "The API token is unknown, expired or revoked. Make a new one with 'modelyard admin token create'.",
            headers={"WWW-Authenticate": "Bearer"},
        )
    return caller


def find_caller(session: Session, digest: bytes) -> Caller | None:
    """The active user of the living token with this digest."""
    found = session.execute(
        select(ApiToken, User).join(User, User.id == ApiToken.user_id).where(ApiToken.digest == digest)
    ).one_or_none()
    if found is None:
        return None
    token, user = found
    expired = token.expires_at is not None and token.expires_at <= datetime.now(UTC)
    if token.revoked_at is not None or expired or not user.is_active:
        return None
    return caller_of(session, user, token_id=token.id, scope=token.scope)


def find_user_caller(session: Session, user_id: str) -> Caller | None:
    """The user as a caller: for work that goes on for them when they are not there. Their account may be inactive."""
    user = session.get(User, user_id)
    return None if user is None else caller_of(session, user)


def find_active_caller(session: Session, user_id: str) -> Caller | None:
    """The user as a caller, if their account is active: for starting something new on their behalf."""
    user = session.get(User, user_id)
    return caller_of(session, user) if user is not None and user.is_active else None


def caller_of(session: Session, user: User, *, token_id: str | None = None, scope: str = FULL_SCOPE) -> Caller:
    """``user`` as a caller, with the groups and the organization that they belong to. A lent token administers
    nothing, whoever it acts for."""
    groups = session.scalars(select(GroupMember.group_id).where(GroupMember.user_id == user.id)).all()
    return Caller(
        user_id=user.id,
        username=user.username,
        organization_id=user.organization_id,
        is_admin=user.is_admin and scope == FULL_SCOPE,
        subject_ids=(user.id, user.organization_id, *groups),
        token_id=token_id,
        scope=scope,
    )
