"""Making workspaces from workspaces, and reading what is in them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from modelyard.kernel.errors import Invalid
from modelyard.kernel.file_paths import check_tree
from modelyard.kernel.ids import new_id
from modelyard.workspaces.tables import File, Tree, Workspace


@dataclass(frozen=True)
class NewFile:
    """A file to put into a workspace; its content is already a blob. ``path`` was checked by ``check_file_path``."""

    path: str
    digest: str
    size_bytes: int
    source: str = "local"
    commit_sha: str | None = None
    ref: str | None = None
    repository_name: str | None = None
    repository_location: str | None = None
    repository_path: str | None = None


class StoredFile(NamedTuple):
    """A file of a workspace: the columns of ``File`` that readers need, cheap to load by the thousand."""

    id: str
    path: str
    digest: str
    size_bytes: int
    created_at: datetime
    source: str
    commit_sha: str | None
    ref: str | None
    repository_name: str | None
    repository_location: str | None
    repository_path: str | None


_COLUMNS = tuple(getattr(File, name) for name in StoredFile._fields)


def create(session: Session, files: Sequence[NewFile], *, max_files: int) -> Workspace:
    """A workspace of just these files, the first of a new tree. Of two files with one path the later counts."""
    newest = {file.path: file for file in files}
    _check(newest.keys(), max_files)
    tree = _new_tree(session, 1)
    _add(session, tree.id, 1, newest.values())
    return _record(session, tree.id, 1, len(newest), sum(file.size_bytes for file in newest.values()))


def derive(
    session: Session, base: Workspace, files: Sequence[NewFile], removed_ids: Collection[str] = (), *, max_files: int
) -> Workspace:
    """``base`` with files added or replaced (by path) and others removed (by file id).

    Raises ``Invalid`` for ids that are not in ``base``, for too many files and for paths that exclude each other.
    """
    present = files_in(session, base)
    removed = set(removed_ids)
    unknown = sorted(removed - {file.id for file in present})
    if unknown:
        text = f"these files are not in the version: {', '.join(unknown[:20])}"
        raise Invalid(f"filesToDelete: {text}", {"filesToDelete": text})
    newest = {file.path: file for file in files}
    kept = [
        file
        for file in present
        if file.id not in removed and (file.path not in newest or file.digest == newest[file.path].digest)
    ]
    kept_paths = {file.path for file in kept}
    added = [file for path, file in newest.items() if path not in kept_paths]
    _check([*kept_paths, *(file.path for file in added)], max_files)
    kept_ids = {file.id for file in kept}
    gone_ids = [file.id for file in present if file.id not in kept_ids]
    tree_id, revision = _next_revision(session, base, kept)
    if tree_id == base.tree_id:
        for some in _batches(gone_ids):
            session.execute(
                update(File).where(File.id.in_(some)).values(removed_revision=revision),
                execution_options={"synchronize_session": False},
            )
    _add(session, tree_id, revision, added)
    size_bytes = sum(file.size_bytes for file in kept) + sum(file.size_bytes for file in added)
    return _record(session, tree_id, revision, len(kept) + len(added), size_bytes)


def copy(session: Session, source: Workspace) -> Workspace:
    """The same files under new ids, as the first workspace of a new tree."""
    tree_id, revision = _copy_files(session, files_in(session, source))
    return _record(session, tree_id, revision, source.file_count, source.size_bytes)


def copy_trees(session: Session, workspace_ids: Collection[str]) -> dict[str, str]:
    """Copies workspaces with the trees that they are revisions of; the new workspace's id by the old one's.

    A tree of many revisions is copied once, so copying all versions of something costs as little as they do.
    """
    sources = [row for some in _batches(list(workspace_ids)) for row in session.scalars(_workspaces(some))]
    new_trees = {tree_id: _copy_tree(session, tree_id) for tree_id in sorted({row.tree_id for row in sources})}
    now = datetime.now(UTC)
    copied: dict[str, str] = {}
    rows = []
    for source in sources:
        copied[source.id] = new_id()
        rows.append(
            {
                "id": copied[source.id],
                "tree_id": new_trees[source.tree_id],
                "revision": source.revision,
                "file_count": source.file_count,
                "size_bytes": source.size_bytes,
                "created_at": now,
            }
        )
    if rows:
        session.execute(insert(Workspace), rows)
    return copied


def files_in(session: Session, workspace: Workspace) -> list[StoredFile]:
    """The files of a workspace, by path."""
    rows = session.execute(
        select(*_COLUMNS)
        .where(
            File.tree_id == workspace.tree_id,
            File.added_revision <= workspace.revision,
            or_(File.removed_revision.is_(None), File.removed_revision > workspace.revision),
        )
        .order_by(File.path)
    )
    return [StoredFile._make(row) for row in rows]


def files_of(session: Session, workspaces: Iterable[Workspace]) -> dict[str, list[StoredFile]]:
    """The files of several workspaces by workspace id, in one query for every five hundred of them."""
    return files_by_id(session, [workspace.id for workspace in workspaces])


def files_by_id(session: Session, workspace_ids: Iterable[str]) -> dict[str, list[StoredFile]]:
    """As ``files_of``, for those who have only the ids."""
    wanted = list(dict.fromkeys(workspace_ids))
    found: dict[str, list[StoredFile]] = defaultdict(list)
    for some in _batches(wanted):
        rows = session.execute(
            select(Workspace.id, *_COLUMNS)
            .join(File, _in_workspace())
            .where(Workspace.id.in_(some))
            .order_by(File.path)
        )
        for workspace_id, *columns in rows:
            found[workspace_id].append(StoredFile._make(columns))
    return {workspace_id: found[workspace_id] for workspace_id in wanted}


def find_file(session: Session, workspace: Workspace, path: str) -> StoredFile | None:
    """The file at ``path``."""
    row = session.execute(
        select(*_COLUMNS).join(Workspace, _in_workspace()).where(Workspace.id == workspace.id, File.path == path)
    ).one_or_none()
    return None if row is None else StoredFile._make(row)


def tree_digest(files: Iterable[StoredFile]) -> str:
    """A name for the content: SHA-256 over the sorted paths and the digests of their blobs."""
    text = "".join(f"{file.path}\0{file.digest}\n" for file in sorted(files, key=lambda file: file.path))
    return sha256(text.encode()).hexdigest()


def remove(session: Session, workspace_ids: Collection[str]) -> None:
    """Deletes workspaces, and each tree (with its files) that no workspace is left of."""
    trees: set[str] = set()
    for some in _batches(list(workspace_ids)):
        trees.update(session.scalars(select(Workspace.tree_id).where(Workspace.id.in_(some))))
        session.execute(delete(Workspace).where(Workspace.id.in_(some)))
    for some in _batches(sorted(trees)):
        empty = session.scalars(
            select(Tree.id).where(Tree.id.in_(some), ~exists().where(Workspace.tree_id == Tree.id))
        ).all()
        session.execute(delete(File).where(File.tree_id.in_(empty)))
        session.execute(delete(Tree).where(Tree.id.in_(empty)))


def is_referenced(session: Session, digest: str) -> bool:
    """Whether any file is stored in this blob."""
    return session.scalar(select(File.id).where(File.digest == digest).limit(1)) is not None


def _workspaces(ids: list[str]) -> Any:
    return select(Workspace).where(Workspace.id.in_(ids)).order_by(Workspace.id)


def _in_workspace() -> ColumnElement[bool]:
    return and_(
        File.tree_id == Workspace.tree_id,
        File.added_revision <= Workspace.revision,
        or_(File.removed_revision.is_(None), File.removed_revision > Workspace.revision),
    )


def _check(paths: Collection[str], max_files: int) -> None:
    if len(paths) > max_files:
        text = f"a version holds at most {max_files} files, this would be {len(paths)}"
        raise Invalid(f"file: {text}", {"file": text})
    try:
        check_tree(paths)
    except ValueError as error:
        raise Invalid(f"filePath: {error}", {"filePath": str(error)}) from error


def _next_revision(session: Session, base: Workspace, kept: list[StoredFile]) -> tuple[str, int]:
    tree = session.get_one(Tree, base.tree_id, with_for_update=True)
    if tree.head_revision != base.revision:
        return _copy_files(session, kept)
    tree.head_revision += 1
    return tree.id, tree.head_revision


def _copy_files(session: Session, files: Sequence[StoredFile]) -> tuple[str, int]:
    tree = _new_tree(session, 1)
    _insert(
        session,
        [{**file._asdict(), "id": new_id(), "tree_id": tree.id, "added_revision": 1} for file in files],
    )
    return tree.id, 1


def _copy_tree(session: Session, tree_id: str) -> str:
    tree = _new_tree(session, session.get_one(Tree, tree_id).head_revision)
    rows = session.execute(
        select(*_COLUMNS, File.added_revision, File.removed_revision).where(File.tree_id == tree_id).order_by(File.id)
    )
    _insert(session, [{**row._asdict(), "id": new_id(), "tree_id": tree.id} for row in rows])
    return tree.id


def _new_tree(session: Session, head_revision: int) -> Tree:
    tree = Tree(id=new_id(), head_revision=head_revision)
    session.add(tree)
    session.flush()
    return tree


def _add(session: Session, tree_id: str, revision: int, files: Iterable[NewFile]) -> None:
    now = datetime.now(UTC)
    _insert(
        session,
        [
            {"id": new_id(), "tree_id": tree_id, "added_revision": revision, "created_at": now, **vars(file)}
            for file in files
        ],
    )


def _insert(session: Session, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.execute(insert(File), rows)


def _record(session: Session, tree_id: str, revision: int, file_count: int, size_bytes: int) -> Workspace:
    workspace = Workspace(
        id=new_id(),
        tree_id=tree_id,
        revision=revision,
        file_count=file_count,
        size_bytes=size_bytes,
        created_at=datetime.now(UTC),
    )
    session.add(workspace)
    session.flush()
    return workspace


T = TypeVar("T")


def _batches(items: Sequence[T], size: int = 500) -> Iterable[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
