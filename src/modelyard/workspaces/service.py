"""Making workspaces from workspaces, and reading what is in them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import and_, delete, exists, insert, or_, select, update
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


def create(session: Session, files: Sequence[NewFile], *, max_files: int) -> Workspace:
    """A workspace of just these files, the first of a new tree. Of two files with one path the later counts."""
    newest = {file.path: file for file in files}
    _check(newest, max_files)
    tree = Tree(id=new_id(), head_revision=1)
    session.add(tree)
    session.flush()
    _add(session, tree.id, 1, newest.values())
    return _record(session, tree.id, 1, len(newest), sum(file.size_bytes for file in newest.values()))


def derive(
    session: Session, base: Workspace, files: Sequence[NewFile], removed_ids: Collection[str] = (), *, max_files: int
) -> Workspace:
    """``base`` with files added or replaced (by path) and others removed (by file id).

    Raises ``Invalid`` for ids that are not in ``base``, for too many files and for paths that exclude each other.
    """
    present = files_in(session, base)
    unknown = sorted(set(removed_ids) - {file.id for file in present})
    if unknown:
        text = f"these files are not in the version: {', '.join(unknown[:20])}"
        raise Invalid(f"filesToDelete: {text}", {"filesToDelete": text})
    newest = {file.path: file for file in files}
    same = {file.path for file in present if file.path in newest and file.digest == newest[file.path].digest}
    gone = [file for file in present if file.id in removed_ids or (file.path in newest and file.path not in same)]
    gone_ids = {file.id for file in gone}
    added = [file for path, file in newest.items() if path not in same or any(g.path == path for g in gone)]
    kept = [file for file in present if file.id not in gone_ids]
    _check({**{file.path: file for file in kept}, **newest}, max_files)
    tree_id, revision = _next_revision(session, base, kept)
    if tree_id == base.tree_id and gone_ids:
        for some in _batches(sorted(gone_ids)):
            session.execute(update(File).where(File.id.in_(some)).values(removed_revision=revision))
    _add(session, tree_id, revision, added)
    size_bytes = sum(file.size_bytes for file in kept) + sum(file.size_bytes for file in added)
    return _record(session, tree_id, revision, len(kept) + len(added), size_bytes)


def copy(session: Session, source: Workspace) -> Workspace:
    """The same files under new ids, as the first workspace of a new tree."""
    tree_id, revision = _copy_tree(session, files_in(session, source))
    return _record(session, tree_id, revision, source.file_count, source.size_bytes)


def files_in(session: Session, workspace: Workspace) -> list[File]:
    """The files of a workspace, by path."""
    return files_of(session, [workspace])[workspace.id]


def files_of(session: Session, workspaces: Iterable[Workspace]) -> dict[str, list[File]]:
    """The files of several workspaces by workspace id, in one query for every hundred of them."""
    found: dict[str, list[File]] = defaultdict(list)
    wanted = list({workspace.id: workspace for workspace in workspaces}.values())
    for some in _batches(wanted, 100):
        rows = session.execute(
            select(Workspace.id, File)
            .join(File, _in_workspace())
            .where(Workspace.id.in_([workspace.id for workspace in some]))
            .order_by(File.path)
        ).all()
        for workspace_id, file in rows:
            found[workspace_id].append(file)
    return {workspace.id: found[workspace.id] for workspace in wanted}


def find_file(session: Session, workspace: Workspace, path: str) -> File | None:
    """The file at ``path``."""
    return session.scalar(
        select(File).join(Workspace, _in_workspace()).where(Workspace.id == workspace.id, File.path == path)
    )


def tree_digest(files: Iterable[File]) -> str:
    """A name for the content: SHA-256 over the sorted paths and the digests of their blobs."""
    text = "".join(f"{file.path}\0{file.digest}\n" for file in sorted(files, key=lambda file: file.path))
    return sha256(text.encode()).hexdigest()


def remove(session: Session, workspaces: Iterable[Workspace]) -> None:
    """Deletes workspaces, and each tree (with its files) that no workspace is left of."""
    wanted = list(workspaces)
    for some in _batches([workspace.id for workspace in wanted]):
        session.execute(delete(Workspace).where(Workspace.id.in_(some)))
    trees = sorted({workspace.tree_id for workspace in wanted})
    for some in _batches(trees):
        empty = session.scalars(
            select(Tree.id).where(Tree.id.in_(some), ~exists().where(Workspace.tree_id == Tree.id))
        ).all()
        session.execute(delete(File).where(File.tree_id.in_(empty)))
        session.execute(delete(Tree).where(Tree.id.in_(empty)))


def is_referenced(session: Session, digest: str) -> bool:
    """Whether any file is stored in this blob."""
    return session.scalar(select(File.id).where(File.digest == digest).limit(1)) is not None


def _in_workspace() -> object:
    return and_(
        File.tree_id == Workspace.tree_id,
        File.added_revision <= Workspace.revision,
        or_(File.removed_revision.is_(None), File.removed_revision > Workspace.revision),
    )


def _check(files: dict[str, NewFile] | dict[str, File | NewFile], max_files: int) -> None:
    if len(files) > max_files:
        text = f"a version holds at most {max_files} files, this would be {len(files)}"
        raise Invalid(f"file: {text}", {"file": text})
    try:
        check_tree(list(files))
    except ValueError as error:
        raise Invalid(f"filePath: {error}", {"filePath": str(error)}) from error


def _next_revision(session: Session, base: Workspace, kept: list[File]) -> tuple[str, int]:
    tree = session.get_one(Tree, base.tree_id, with_for_update=True)
    if tree.head_revision != base.revision:
        return _copy_tree(session, kept)
    tree.head_revision += 1
    return tree.id, tree.head_revision


def _copy_tree(session: Session, files: Sequence[File]) -> tuple[str, int]:
    tree = Tree(id=new_id(), head_revision=1)
    session.add(tree)
    session.flush()
    copied = [name for name in File.__table__.columns.keys() if name not in _OWN_COLUMNS]  # noqa: SIM118
    rows = [
        {name: getattr(file, name) for name in copied} | {"id": new_id(), "tree_id": tree.id, "added_revision": 1}
        for file in files
    ]
    if rows:
        session.execute(insert(File), rows)
    return tree.id, 1


_OWN_COLUMNS = frozenset({"id", "tree_id", "added_revision", "removed_revision"})


def _add(session: Session, tree_id: str, revision: int, files: Iterable[NewFile]) -> None:
    now = datetime.now(UTC)
    rows = [
        {"id": new_id(), "tree_id": tree_id, "added_revision": revision, "created_at": now, **vars(file)}
        for file in files
    ]
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


def _batches(items: Sequence[object] | list[str], size: int = 500) -> Iterable[list]:  # type: ignore[type-arg]
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
