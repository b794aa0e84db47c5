"""What all administration of accounts has in common: the right to do it, and names that are taken."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.names import name_error
from modelyard.identity.tables import Organization, User
from modelyard.kernel.errors import Conflict, Forbidden, Invalid, NotFound, raise_all


def require_admin(caller: Caller) -> None:
    """Raises ``Forbidden`` for everybody but administrators."""
    caller.require_full_scope()
    if not caller.is_admin:
        raise Forbidden(f"Only an administrator may do this, and {caller.username} is not one.")


def require_usable(**names: str | None) -> None:
    """Raise ``Invalid`` for names that cannot be read, by the Python names of their fields."""
    found = {field: name_error(name) for field, name in names.items() if name is not None}
    errors = {_camel(field): error for field, error in found.items() if error is not None}
    raise_all(errors)


def _camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(part.title() for part in rest)


@contextmanager
def unique_name(session: Session, what: str, name: str) -> Iterator[None]:
    """Writes what the block changed; a name that somebody has already is a ``Conflict``."""
    try:
        yield
        session.flush()
    except IntegrityError as error:
        raise Conflict(
            f"There is a {what} named {name!r} already, or one that looks the same: choose another name."
        ) from error


def find_user(session: Session, user_id: str) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def organization_for(session: Session, caller: Caller, organization_id: str | None) -> str:
    """The id of the organization that a new user or group belongs to: the caller's when none is named."""
    if organization_id is None:
        return caller.organization_id
    if session.get(Organization, organization_id) is None:
        text = f"there is no organization {organization_id}"
        raise Invalid(text, {"organizationId": text})
    return organization_id
