"""Trees, their revisions and the files in them.

A tree is a line of workspaces, each made from the one before. A file belongs to the revisions from ``added`` up to,
but without, ``removed``; so a workspace that changes one file of a thousand adds one row, and a file keeps its id for
as long as its content stays.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id
from modelyard.kernel.ids import new_id


class Tree(Base):
    __tablename__ = "trees"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    head_revision: Mapped[int]


class Workspace(Base):
    """One immutable tree of files."""

    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    tree_id: Mapped[str] = mapped_column(Id, ForeignKey("trees.id"), index=True)
    revision: Mapped[int]
    file_count: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]


class File(Base):
    """One file of a range of revisions of a tree."""

    __tablename__ = "files"
    __table_args__ = (Index("ix_files_tree", "tree_id", "added_revision"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    tree_id: Mapped[str] = mapped_column(Id, ForeignKey("trees.id"))
    added_revision: Mapped[int]
    removed_revision: Mapped[int | None]
    path: Mapped[str] = mapped_column(String(1024))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    source: Mapped[str] = mapped_column(String(32), default="local")
    commit_sha: Mapped[str | None] = mapped_column(String(64))
    ref: Mapped[str | None] = mapped_column(String(255))
    repository_name: Mapped[str | None] = mapped_column(String(255))
    repository_location: Mapped[str | None] = mapped_column(String(1024))
    repository_path: Mapped[str | None] = mapped_column(String(1024))
