"""Custom templates and their tags."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class CustomTemplate(Base):
    """Files, and the defaults for what is made from them. What was made keeps files of its own.

    ``organization_id`` and ``created_by_id`` are null for a template that ships with this release;
    ``release_fingerprint`` is the SHA-256 of the definition that such a one was made from.
    """

    __tablename__ = "custom_templates"
    __table_args__ = (
        Index("ix_custom_templates_created", "created_at", "id"),
        Index("ix_custom_templates_type", "template_type", "template_sub_type", "id"),
        Index("ix_custom_templates_sub_type", "template_sub_type", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    is_shipped: Mapped[bool] = mapped_column(default=False, index=True)
    release_fingerprint: Mapped[str | None] = mapped_column(String(64))
    organization_id: Mapped[str | None] = mapped_column(Id)
    created_by_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    """Name and description, case-folded: what ``search`` looks in."""
    template_type: Mapped[str] = mapped_column(String(32))
    template_sub_type: Mapped[str] = mapped_column(String(255), default="")
    """Of a job template its job type; empty where there is none, since databases differ in how they order null."""
    is_enabled: Mapped[bool] = mapped_column(default=True)
    environment_id: Mapped[str] = mapped_column(Id)
    environment_version_id: Mapped[str] = mapped_column(Id)
    resource_bundle_id: Mapped[str | None] = mapped_column(String(64))
    publisher: Mapped[str | None] = mapped_column(String(255))
    category: Mapped[str | None] = mapped_column(String(255))
    details: Mapped[dict[str, object]] = mapped_column(Json)
    """The wire form of ``templateMetadata``; its publisher, category and tags are columns too, for the filters."""
    workspace_id: Mapped[str] = mapped_column(Id, ForeignKey("workspaces.id"), index=True)


class CustomTemplateTag(Base):
    __tablename__ = "custom_template_tags"

    template_id: Mapped[str] = mapped_column(
        Id, ForeignKey("custom_templates.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(255), primary_key=True)
