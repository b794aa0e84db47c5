"""A new token for an administrator, for the operator of an installation that nobody can administer any more."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.accounts import FIRST_ADMIN, add_first_admin, add_token
from modelyard.identity.caller import new_token
from modelyard.identity.tables import Organization, User
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.texts import comparable

TOKEN_NAME = "recovered"  # noqa: S105 # what the token is called


@dataclass(frozen=True)
class Recovered:
    """The new token, whose it is, and what had to be done to their account: ``made``, ``promoted``, ``activated``."""

    user_id: str
    username: str
    token_id: str
    token: str
    changes: tuple[str, ...]


def recover(session: Session, username: str | None) -> Recovered:
    """Make a token for the named administrator, or for the oldest active one.

    Where no administrator is active, the named user becomes one, whoever they are; without a name the oldest
    administrator is activated, and where there is none, the user ``admin`` is, or is made. Raises ``NotFound`` for a
    name that no user has, and ``Conflict`` for that of a user who is no active administrator while another one is.
    """
    active = list(_administrators(session, is_active=True))
    user, changes = _find(session, username, active)
    if user is None:
        user, changes = _make(session), ("made",)
    if not user.is_admin:
        user.is_admin, changes = True, (*changes, "promoted")
    if not user.is_active:
        user.is_active, changes = True, (*changes, "activated")
    text = new_token()
    token = add_token(session, user.id, TOKEN_NAME, text)
    detail: dict[str, object] = {"username": user.username, "tokenId": token.id, "changes": list(changes)}
    audit.record(session, None, "recover", "user", user.id, detail)
    session.flush()
    return Recovered(user.id, user.username, token.id, text, changes)


def _find(session: Session, username: str | None, active: list[User]) -> tuple[User | None, tuple[str, ...]]:
    if username is None:
        if active:
            return active[0], ()
        inactive = list(_administrators(session, is_active=False))
        return (inactive[0] if inactive else _user_named(session, FIRST_ADMIN)), ()
    user = _user_named(session, username)
    known = ", ".join(one.username for one in active[:5]) or "none"
    if user is None:
        raise NotFound(f"There is no user {username!r}; active administrators: {known}.")
    if active and user not in active:
        raise Conflict(f"{user.username!r} is not an active administrator, and these are: {known}.")
    return user, ()


def _administrators(session: Session, *, is_active: bool) -> list[User]:
    statement = select(User).where(User.is_admin, User.is_active.is_(is_active))
    return list(session.scalars(statement.order_by(User.created_at, User.id)))


def _user_named(session: Session, username: str) -> User | None:
    return session.scalars(select(User).where(User.compared_name == comparable(username))).one_or_none()


def _make(session: Session) -> User:
    first = select(Organization.id).order_by(Organization.created_at, Organization.id).limit(1)
    organization_id = session.scalar(first)
    if organization_id is None:
        raise NotFound("The installation has no organization yet: start it once with 'modelyard up'.")
    return add_first_admin(session, organization_id)
