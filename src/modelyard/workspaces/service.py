"""Making workspaces from workspaces, and reading what is in them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from operator import attrgetter
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
_path = attrgetter("path")  # sorted here, because databases differ in how they order text


def create(session: Session, files: Sequence[NewFile], *, max_files: int) -> Workspace:
    """A workspace of just these files, the first of a new tree. Of two files with one path the later counts."""
    newest = {file.path: file for file in files}
    _check_count(len(newest), max_files)
    _check_paths(newest)
    tree = _new_tree(session, 1)
    _add(session, tree, newest.values())
    return _record(session, tree, len(newest), sum(file.size_bytes for file in newest.values()))


def derive(
    session: Session, base: Workspace, files: Sequence[NewFile], removed_ids: Collection[str] = (), *, max_files: int
) -> tuple[Workspace, list[StoredFile]]:
    """``base`` with files added or replaced (by path) and others removed (by file id), and what is in it then.

    A file that comes again with the same content and from the same place keeps its id. Raises ``Invalid`` for ids that
    are not in ``base``, for too many files and for paths that exclude each other.
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
        if file.id not in removed and (file.path not in newest or _is_same(file, newest[file.path]))
    ]
    kept_paths = {file.path for file in kept}
    added = [file for path, file in newest.items() if path not in kept_paths]
    paths = [*kept_paths, *(file.path for file in added)]
    _check_count(len(paths), max_files)
    if not {file.path for file in present}.issuperset(paths):
        _check_paths(paths)
    kept_ids = {file.id for file in kept}
    gone_ids = [file.id for file in present if file.id not in kept_ids]
    tree = session.get_one(Tree, base.tree_id, with_for_update=True)
    if tree.head_revision == base.revision:
        tree.head_revision += 1
        for some in _batches(gone_ids):
            session.execute(
                update(File).where(File.id.in_(some)).values(removed_revision=tree.head_revision),
                execution_options={"synchronize_session": False},
            )
    else:
        tree = _new_tree(session, 1)
        kept = _copy_files(session, tree, kept)
    result = sorted([*kept, *_add(session, tree, added)], key=_path)
    size_bytes = sum(file.size_bytes for file in result)
    return _record(session, tree, len(result), size_bytes), result


def _is_same(present: StoredFile, come: NewFile) -> bool:
    return all(getattr(present, name) == value for name, value in vars(come).items())


def copy(session: Session, source: Workspace) -> Workspace:
    """The same files under new ids, as the first workspace of a new tree."""
    tree = _new_tree(session, 1)
    _copy_files(session, tree, files_in(session, source))
    return _record(session, tree, source.file_count, source.size_bytes)


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
        select(*_COLUMNS).where(
            File.tree_id == workspace.tree_id,
            File.added_revision <= workspace.revision,
            or_(File.removed_revision.is_(None), File.removed_revision > workspace.revision),
        )
    )
    return sorted((StoredFile._make(row) for row in rows), key=_path)


def files_of(session: Session, workspaces: Iterable[Workspace]) -> dict[str, list[StoredFile]]:
    """The files of several workspaces by workspace id, in one query for every five hundred of them."""
    return files_by_id(session, [workspace.id for workspace in workspaces])


def files_by_id(session: Session, workspace_ids: Iterable[str]) -> dict[str, list[StoredFile]]:
    """As ``files_of``, for those who have only the ids."""
    wanted = list(dict.fromkeys(workspace_ids))
    found: dict[str, list[StoredFile]] = defaultdict(list)
    for some in _batches(wanted):
        rows = session.execute(
            select(Workspace.id, *_COLUMNS).join(File, _in_workspace()).where(Workspace.id.in_(some))
        )
        for workspace_id, *columns in rows:
            found[workspace_id].append(StoredFile._make(columns))
    return {workspace_id: sorted(found[workspace_id], key=_path) for workspace_id in wanted}


def find_file(session: Session, workspace: Workspace, path: str) -> StoredFile | None:
    """The file at ``path``."""
    row = session.execute(
        select(*_COLUMNS).join(Workspace, _in_workspace()).where(Workspace.id == workspace.id, File.path == path)
    ).one_or_none()
    return None if row is None else StoredFile._make(row)


def find_file_by_id(session: Session, workspace_id: str, file_id: str) -> StoredFile | None:
    """The file of this id, if it is in the workspace."""
    row = session.execute(
        select(*_COLUMNS).join(Workspace, _in_workspace()).where(Workspace.id == workspace_id, File.id == file_id)
    ).one_or_none()
    return None if row is None else StoredFile._make(row)


def tree_digest(files: Iterable[StoredFile]) -> str:
    """A name for the content: SHA-256 over the sorted paths and the digests of their blobs."""
    text = "".join(f"{file.path}\0{file.digest}\n" for file in sorted(files, key=_path))
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


def _check_count(file_count: int, max_files: int) -> None:
    if file_count > max_files:
        text = f"a version holds at most {max_files} files, this would be {file_count}"
        raise Invalid(f"file: {text}", {"file": text})


def _check_paths(paths: Iterable[str]) -> None:
    try:
        check_tree(paths)
    except ValueError as error:
        raise Invalid(f"filePath: {error}", {"filePath": str(error)}) from error


def _copy_files(session: Session, tree: Tree, files: Sequence[StoredFile]) -> list[StoredFile]:
    copied = [file._replace(id=new_id()) for file in files]
    _insert(session, tree, copied)
    return copied


def _copy_tree(session: Session, tree_id: str) -> str:
    tree = _new_tree(session, session.get_one(Tree, tree_id).head_revision)
    rows = session.execute(
        select(*_COLUMNS, File.added_revision, File.removed_revision).where(File.tree_id == tree_id).order_by(File.id)
    ).all()
    if rows:
        session.execute(insert(File), [{**row._asdict(), "id": new_id(), "tree_id": tree.id} for row in rows])
    return tree.id


def _new_tree(session: Session, head_revision: int) -> Tree:
    tree = Tree(id=new_id(), head_revision=head_revision)
    session.add(tree)
    session.flush()
    return tree


def _add(session: Session, tree: Tree, files: Iterable[NewFile]) -> list[StoredFile]:
    now = datetime.now(UTC)
    added = [StoredFile(id=new_id(), created_at=now, **vars(file)) for file in files]
    _insert(session, tree, added)
    return added


def _insert(session: Session, tree: Tree, files: Sequence[StoredFile]) -> None:
    if files:
        place = {"tree_id": tree.id, "added_revision": tree.head_revision}
        session.execute(insert(File), [file._asdict() | place for file in files])


def _record(session: Session, tree: Tree, file_count: int, size_bytes: int) -> Workspace:
    workspace = Workspace(
        id=new_id(),
        tree_id=tree.id,
        revision=tree.head_revision,
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
