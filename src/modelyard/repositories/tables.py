"""Remote repositories."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id
from modelyard.kernel.ids import new_id


class RemoteRepository(Base):
    """A place to pull files from. ``location`` is as the user wrote it; ``repositories.locations`` reads it."""

    __tablename__ = "remote_repositories"
    __table_args__ = (Index("ix_remote_repositories_created", "created_at", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    """Name, description and location, case-folded."""
    location: Mapped[str] = mapped_column(String(1024))
    source_type: Mapped[str] = mapped_column(String(32))
    credential_id: Mapped[str | None] = mapped_column(Id)
    """Opened when something is pulled, for whoever pulls; it may be gone by then."""
