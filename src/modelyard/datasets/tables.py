"""Datasets and their versions."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class ProcessingState(StrEnum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


class Dataset(Base):
    """``latest_version_id`` is the newest version that is a table; the first version as long as none is."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    categories: Mapped[list[str]] = mapped_column(Json)
    latest_version_id: Mapped[str] = mapped_column(Id)
    version_count: Mapped[int] = mapped_column(default=1)
    created_by: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]


class DatasetVersion(Base):
    """One file, uploaded or fetched from ``source_url``.

    ``digest`` names the blob as it came (None until it is fetched), ``table_digest`` the same rows as Parquet, once
    they were read. The two are one when Parquet came. ``columns`` is what ``profile.describe`` found, in the order of
    the table.
    """

    __tablename__ = "dataset_versions"
    __table_args__ = (Index("ix_dataset_versions_dataset", "dataset_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    dataset_id: Mapped[str] = mapped_column(Id, ForeignKey("datasets.id", ondelete="CASCADE"))
    number: Mapped[int]
    file_name: Mapped[str] = mapped_column(String(255))
    source_url: Mapped[str | None] = mapped_column(Text)
    digest: Mapped[str | None] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    processing_state: Mapped[str] = mapped_column(String(16), default=ProcessingState.RUNNING.value)
    error: Mapped[str | None] = mapped_column(Text)
    table_digest: Mapped[str | None] = mapped_column(String(64), index=True)
    row_count: Mapped[int | None] = mapped_column(BigInteger)
    columns: Mapped[list[dict[str, Any]] | None] = mapped_column(Json)
    created_by: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
