"""Organizations, users and tokens: making them, and the first administrator of a new installation."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.caller import FULL_SCOPE, LENT_SCOPE, new_token, token_digest
from modelyard.identity.tables import ApiToken, Organization, User
from modelyard.kernel.ids import new_id

FIRST_ORGANIZATION = "default"
FIRST_ADMIN = "admin"
MIN_TOKEN_CHARACTERS = 32
"""Of a token that an operator chooses: its digest has no salt, so it must be too long to guess."""
MAX_TOKEN_CHARACTERS = 1024
_TOKEN = re.compile(r"[!-~]+")


def token_error(token: str) -> str | None:
    """Return what is wrong with a token that an operator chose, without showing it, or None."""
    if not _TOKEN.fullmatch(token):
        return "holds characters that no client can send: a token is printable ASCII without spaces"
    if len(token) < MIN_TOKEN_CHARACTERS:
        return f"has {len(token)} characters; at least {MIN_TOKEN_CHARACTERS} are needed"
    if len(token) > MAX_TOKEN_CHARACTERS:
        return f"has {len(token)} characters; at most {MAX_TOKEN_CHARACTERS} are allowed"
    return None


def bootstrap(session: Session, token: str | None) -> str | None:
    """Makes the first organization and administrator of an empty installation.

    Returns the administrator's token, the only time it can be seen; None when there were users already. Raises
    ``ValueError`` for a ``token`` that can be guessed or never sent.
    """
    if token is not None and (error := token_error(token)):
        raise ValueError(f"the token {error}")
    if session.scalar(select(User.id).limit(1)) is not None:
        return None
    organization = Organization(id=new_id(), name=FIRST_ORGANIZATION, created_at=datetime.now(UTC))
    session.add(organization)
    session.flush()
    admin = add_first_admin(session, organization.id)
    audit.record(session, None, "create", "user", admin.id, {"username": FIRST_ADMIN})
    shown = token or new_token()
    add_token(session, admin.id, "first start", shown)
    return shown


def add_first_admin(session: Session, organization_id: str) -> User:
    """Make the administrator that a new installation has."""
    admin = User(
        id=new_id(),
        organization_id=organization_id,
        username=FIRST_ADMIN,
        is_admin=True,
        is_active=True,
        created_at=datetime.now(UTC),
    )
    session.add(admin)
    session.flush()
    return admin


def add_token(
    session: Session,
    user_id: str,
    name: str,
    token: str,
    *,
    expires_at: datetime | None = None,
    scope: str = FULL_SCOPE,
    holder_id: str | None = None,
) -> ApiToken:
    """Stores the digest of a token for a user."""
    row = ApiToken(
        id=new_id(),
        user_id=user_id,
        name=name,
        digest=token_digest(token),
        scope=scope,
        holder_id=holder_id,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row


def lend_token(session: Session, user_id: str, holder_id: str, name: str, *, expires_at: datetime) -> str:
    """A token for code that works on behalf of ``user_id``, with their rights, until ``expires_at`` at the latest.

    It makes no other tokens and administers nothing, so what it is lent to gains nothing that lasts.
    """
    text = new_token()
    add_token(session, user_id, name, text, expires_at=expires_at, scope=LENT_SCOPE, holder_id=holder_id)
    return text


def return_tokens(session: Session, holder_id: str) -> None:
    """Ends all tokens that were lent to ``holder_id``."""
    session.execute(delete(ApiToken).where(ApiToken.holder_id == holder_id))


def usernames(session: Session, user_ids: Iterable[str]) -> dict[str, str]:
    """The names of these users by id."""
    rows = session.execute(select(User.id, User.username).where(User.id.in_(list(user_ids))))
    return {row[0]: row[1] for row in rows}
