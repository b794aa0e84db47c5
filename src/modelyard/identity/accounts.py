"""Organizations, users and tokens: making them, and the first administrator of a new installation."""

from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.caller import new_token, token_digest
from modelyard.identity.tables import ApiToken, Organization, User
from modelyard.kernel.ids import new_id

FIRST_ORGANIZATION = "default"
FIRST_ADMIN = "admin"


def bootstrap(session: Session, token: str | None) -> str | None:
    """Makes the first organization and administrator of an empty installation.

    Returns the administrator's token, the only time it can be seen; None when there were users already.
    """
    if session.scalar(select(User.id).limit(1)) is not None:
        return None
    now = datetime.now(UTC)
    organization = Organization(id=new_id(), name=FIRST_ORGANIZATION, created_at=now)
    session.add(organization)
    session.flush()
    admin = User(
        id=new_id(),
        organization_id=organization.id,
        username=FIRST_ADMIN,
        is_admin=True,
        is_active=True,
        created_at=now,
    )
    session.add(admin)
    session.flush()
    audit.record(session, None, "create", "user", admin.id, {"username": FIRST_ADMIN})
    shown = token or new_token()
    add_token(session, admin.id, "first start", shown)
    return shown


def add_token(
    session: Session, user_id: str, name: str, token: str, *, expires_at: datetime | None = None, scope: str = "full"
) -> ApiToken:
    """Stores the digest of a token for a user."""
    row = ApiToken(
        id=new_id(),
        user_id=user_id,
        name=name,
        digest=token_digest(token),
        scope=scope,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row
