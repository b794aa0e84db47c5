"""Named leases: of several controllers, one at a time does a thing."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Database
from modelyard.operations.engine import is_dead


class Lease(Base):
    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
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
        if row is not None and row.owner != owner and row.expires_at > now and not is_dead(row.owner):
            return False
    with database.write() as session:
        row = session.get(Lease, name, with_for_update=True)
        if row is None:
            session.add(Lease(name=name, owner=owner, expires_at=now + timedelta(seconds=ttl_s)))
            return True
        if row.owner != owner and row.expires_at > now and not is_dead(row.owner):
            return False
        row.owner = owner
        row.expires_at = now + timedelta(seconds=ttl_s)
        return True
