"""Credentials."""

from datetime import datetime

from sqlalchemy import Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id
from modelyard.kernel.ids import new_id


class Credential(Base):
    """``sealed_fields`` is the JSON object of the type's fields, sealed by ``kernel.secret_box`` for this row's id."""

    __tablename__ = "credentials"
    __table_args__ = (
        UniqueConstraint("created_by_id", "name"),
        Index("ix_credentials_created", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    """Name and description, case-folded."""
    credential_type: Mapped[str] = mapped_column(String(64))
    sealed_fields: Mapped[str] = mapped_column(Text)
