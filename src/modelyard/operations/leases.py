"""Named leases: of several controllers, one at a time does a thing."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import String, delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Database
from modelyard.operations.owners import is_dead


class Lease(Base):
    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    owner: Mapped[str] = mapped_column(String(160))
    expires_at: Mapped[datetime]


def hold(database: Database, name: str, owner: str, ttl_s: float) -> bool:
    """Takes or extends the lease ``name`` for ``owner``; False while somebody else holds it.

    The row is written only when a third of the time has passed, so asking often costs a read.
    """
    now = datetime.now(UTC)
    with database.read() as session:
        row = session.get(Lease, name)
        if row is not None and row.owner == owner and row.expires_at - now > timedelta(seconds=ttl_s * 2 / 3):
            return True
        if row is not None and _is_anothers(row, owner, now):
            return False
    try:
        with database.write() as session:
            row = session.get(Lease, name, with_for_update=True)
            now = datetime.now(UTC)
            if row is not None and _is_anothers(row, owner, now):
                return False
            if row is None:
                row = Lease(name=name)
                session.add(row)
            row.owner = owner
            row.expires_at = now + timedelta(seconds=ttl_s)
    except IntegrityError:  # another made the same row at the same moment
        return False
    return True


def give_back(database: Database, owner: str) -> None:
    """Ends all leases of ``owner``, so that nobody needs to wait for it."""
    with database.write() as session:
        session.execute(delete(Lease).where(Lease.owner == owner))


def _is_anothers(row: Lease, owner: str, now: datetime) -> bool:
    return row.owner != owner and row.expires_at > now and not is_dead(row.owner)
