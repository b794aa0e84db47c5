"""Use cases of accounts: who the caller is, and the administration of users."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.administration import find_user, organization_for, require_admin, require_usable, unique_name
from modelyard.identity.caller import Caller
from modelyard.identity.schemas import (
    AccountInfoResponse,
    UserCreate,
    UserListQuery,
    UserResponse,
    UserUpdate,
    VersionResponse,
)
from modelyard.identity.tables import User
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Conflict
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import changes, moment


def installed_version() -> VersionResponse:
    """The version of the installed package; ``releasedVersion`` is it without pre-release and local parts."""
    text = version("modelyard")
    numbers = re.match(r"(\d+)\.(\d+)(\.\d+)*", text)
    assert numbers is not None  # noqa: S101 # PEP 440
    return VersionResponse(
        major=int(numbers[1]), minor=int(numbers[2]), version_string=text, released_version=numbers[0]
    )


def read_account(session: Session, caller: Caller) -> AccountInfoResponse:
    user = find_user(session, caller.user_id)
    return AccountInfoResponse(
        uid=user.id,
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        org_id=user.organization_id,
        tenant_id=user.organization_id,
        permissions={"administration": user.is_admin},
    )


def list_users(session: Session, caller: Caller, query: UserListQuery, request: RequestInfo) -> Page[UserResponse]:
    require_admin(caller)
    statement = select(User).order_by(ignoring_case(User.username), User.id)
    if query.search:
        text = query.search.lower()
        columns = (User.username, User.email, User.first_name, User.last_name)
        statement = statement.where(or_(*(func.lower(column).contains(text, autoescape=True) for column in columns)))
    if query.organization_id is not None:
        statement = statement.where(User.organization_id == query.organization_id)
    if query.is_active is not None:
        statement = statement.where(User.is_active == query.is_active)
    return page(session, statement, query, request, views)


def create_user(session: Session, caller: Caller, body: UserCreate) -> UserResponse:
    require_admin(caller)
    problems = Problems()
    with problems.collecting():
        if re.search(r"[\s/]", unicodedata.normalize("NFKC", body.username)):
            problems.add("username", f"must not hold spaces or slashes; got {body.username!r}")
        else:
            require_usable(username=body.username)
    with problems.collecting():
        require_usable(**{name: value for name, value in _personal(body).items() if value})
    with problems.collecting():
        organization_id = organization_for(session, caller, body.organization_id)
    problems.raise_all()
    user = User(
        id=new_id(),
        organization_id=organization_id,
        username=body.username,
        email=body.email,
        first_name=body.first_name,
        last_name=body.last_name,
        is_admin=body.is_admin,
        is_active=True,
        created_at=datetime.now(UTC),
    )
    with unique_name(session, "user", body.username):
        session.add(user)
    audit.record(session, caller, "create", "user", user.id, {"username": user.username, "isAdmin": user.is_admin})
    return view(user)


def read_user(session: Session, caller: Caller, user_id: str) -> UserResponse:
    if user_id != caller.user_id:
        require_admin(caller)
    return view(find_user(session, user_id))


def update_user(session: Session, caller: Caller, user_id: str, body: UserUpdate) -> UserResponse:
    """Changes a user; the last active administrator stays one (``Conflict``)."""
    require_admin(caller)
    wanted = changes(body)
    admins = set(
        session.scalars(select(User.id).where(User.is_admin, User.is_active).order_by(User.id).with_for_update())
    )
    user = find_user(session, user_id)
    require_usable(**{name: value for name, value in _personal(body).items() if value})
    for name, value in wanted.items():
        setattr(user, name, value)
    if admins == {user.id} and not (user.is_admin and user.is_active):
        raise Conflict(f"{user.username} is the last active administrator: make another user one first.")
    session.flush()
    audit.record(session, caller, "update", "user", user.id, wanted)
    return view(user)


def _personal(body: UserCreate | UserUpdate) -> dict[str, str | None]:
    """What was sent of what others see of a user beside the user's name."""
    return {name: value for name, value in changes(body).items() if name in {"email", "first_name", "last_name"}}


def views(users: Sequence[User]) -> list[UserResponse]:
    return [view(user) for user in users]


def view(user: User) -> UserResponse:
    return UserResponse(
        id=user.id,
        username=user.username,
        email=user.email,
        first_name=user.first_name,
        last_name=user.last_name,
        organization_id=user.organization_id,
        is_admin=user.is_admin,
        is_active=user.is_active,
        created_at=moment(user.created_at),
    )
