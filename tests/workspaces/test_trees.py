"""Trees of files: whatever is done to them, they hold what a plain dictionary would."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.kernel.database import Base, Database
from modelyard.kernel.errors import Invalid
from modelyard.kernel.file_paths import check_tree
from modelyard.workspaces import service
from modelyard.workspaces.service import NewFile, StoredFile
from modelyard.workspaces.tables import File, Tree, Workspace

MAX_FILES = 6
TABLES = [Base.metadata.tables[name] for name in ("trees", "workspaces", "files")]
PATHS = st.sampled_from(["a", "b", "c", "a/x", "a/y", "d/e/f", "d/e", "g"])
CONTENTS = st.sampled_from([b"", b"1", b"22", b"333"])
UPLOADS = st.dictionaries(PATHS, CONTENTS, max_size=4)


def new_files(upload: dict[str, bytes]) -> list[NewFile]:
    return [NewFile(path, sha256(content).hexdigest(), len(content)) for path, content in upload.items()]


def content_of(files: list[StoredFile]) -> dict[str, str]:
    return {file.path: file.digest for file in files}


def expected(upload: dict[str, bytes]) -> dict[str, str]:
    return {path: sha256(content).hexdigest() for path, content in upload.items()}


def is_tree(tree: dict[str, str]) -> bool:
    try:
        check_tree(tree)
    except ValueError:
        return False
    return len(tree) <= MAX_FILES


class Trees(RuleBasedStateMachine):
    """Several workspaces at once, each beside the dictionary that it must equal."""

    path: Path

    def __init__(self) -> None:
        super().__init__()
        self.database = Database(f"sqlite:///{self.path / 'trees.db'}", pool_size=1)
        Base.metadata.drop_all(self.database.engine, tables=TABLES)
        Base.metadata.create_all(self.database.engine, tables=TABLES)
        self.held: dict[str, dict[str, str]] = {}

    def teardown(self) -> None:
        self.database.dispose()

    @contextmanager
    def unit(self) -> Iterator[Session]:
        with self.database.write() as session:
            yield session

    @initialize(upload=UPLOADS)
    def begin(self, upload: dict[str, bytes]) -> None:
        self.create(upload)

    @rule(upload=UPLOADS)
    def create(self, upload: dict[str, bytes]) -> None:
        wanted = expected(upload)
        try:
            with self.unit() as session:
                workspace = service.create(session, new_files(upload), max_files=MAX_FILES)
        except Invalid:
            assert not is_tree(wanted)
            return
        assert is_tree(wanted)
        self.held[workspace.id] = wanted

    @precondition(lambda self: self.held)
    @rule(upload=UPLOADS, data=st.data())
    def derive(self, upload: dict[str, bytes], data: st.DataObject) -> None:
        base_id = data.draw(st.sampled_from(sorted(self.held)))
        removed = data.draw(st.sets(st.sampled_from(sorted(self.held[base_id]) or ["none"])))
        kept = {path: digest for path, digest in self.held[base_id].items() if path not in removed}
        wanted = kept | expected(upload)
        try:
            with self.unit() as session:
                base = session.get_one(Workspace, base_id)
                before = service.files_in(session, base)
                removed_ids = [file.id for file in before if file.path in removed]
                made, told = service.derive(session, base, new_files(upload), removed_ids, max_files=MAX_FILES)
        except Invalid:
            assert not is_tree(wanted)
            return
        assert is_tree(wanted)
        with self.database.read() as session:
            assert service.files_in(session, made) == told
        is_on_top = base.tree_id == made.tree_id
        unchanged = {
            file.path: file.id for file in before if file.path not in removed and wanted[file.path] == file.digest
        }
        ids = {file.path: file.id for file in told}
        for path, file_id in unchanged.items():
            assert (ids[path] == file_id) is is_on_top
        self.held[made.id] = wanted

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def copy(self, data: st.DataObject) -> None:
        source_ids = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=3, unique=True))
        with self.unit() as session:
            copied = service.copy_trees(session, source_ids)
            single = service.copy(session, session.get_one(Workspace, source_ids[0]))
        assert sorted(copied) == sorted(source_ids)
        for source_id, copy_id in copied.items():
            self.held[copy_id] = self.held[source_id]
        self.held[single.id] = self.held[source_ids[0]]

    @precondition(lambda self: len(self.held) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, max_size=3, unique=True))
        with self.unit() as session:
            service.remove(session, gone)
        for workspace_id in gone:
            del self.held[workspace_id]

    @invariant()
    def every_workspace_holds_what_it_should(self) -> None:
        with self.database.read() as session:
            rows = list(session.scalars(select(Workspace)))
            assert sorted(row.id for row in rows) == sorted(self.held)
            files = service.files_of(session, rows)
            for row in rows:
                assert content_of(files[row.id]) == self.held[row.id]
                assert [file.path for file in files[row.id]] == sorted(self.held[row.id])
                assert (row.file_count, row.size_bytes) == (
                    len(files[row.id]),
                    sum(file.size_bytes for file in files[row.id]),
                )
                for path, digest in self.held[row.id].items():
                    found = service.find_file(session, row, path)
                    assert found is not None
                    assert found.digest == digest
            trees = session.scalar(select(func.count()).select_from(Tree))
            assert trees == len({row.tree_id for row in rows}), "a tree without workspaces was left"
            assert set(session.scalars(select(File.tree_id))) <= {row.tree_id for row in rows}


def test_trees_are_what_dictionaries_would_be(tmp_path: Path) -> None:
    Trees.path = tmp_path
    quick = settings(
        max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    run_state_machine_as_test(Trees, settings=quick)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}")
    Base.metadata.create_all(database.engine, tables=TABLES)
    with database.write() as session:
        yield session
    database.dispose()


def test_of_two_files_with_one_path_the_later_counts(session: Session) -> None:
    twice = [*new_files({"a": b"1"}), *new_files({"a": b"2"})]
    made = service.create(session, twice, max_files=1)
    assert content_of(service.files_in(session, made)) == expected({"a": b"2"})


def test_removing_an_unknown_file_changes_nothing(session: Session) -> None:
    made = service.create(session, new_files({"a": b"1"}), max_files=5)
    with pytest.raises(Invalid, match="not in the version"):
        service.derive(session, made, [], ["0123456789abcdef01234567"], max_files=5)
    assert session.get_one(Tree, made.tree_id).head_revision == 1


def test_the_digest_of_a_tree_depends_on_paths_and_contents_alone(session: Session) -> None:
    def digest(upload: dict[str, bytes]) -> str:
        return service.tree_digest(service.files_in(session, service.create(session, new_files(upload), max_files=5)))

    assert digest({"a": b"1", "b": b"2"}) == digest({"b": b"2", "a": b"1"})
    assert len({digest({"a": b"1"}), digest({"a": b"2"}), digest({"b": b"1"}), digest({})}) == 4


def test_a_blob_is_referenced_as_long_as_a_file_is_stored_in_it(session: Session) -> None:
    made = service.create(session, new_files({"a": b"1"}), max_files=5)
    digest = sha256(b"1").hexdigest()
    assert service.is_referenced(session, digest)
    service.remove(session, [made.id])
    assert not service.is_referenced(session, digest)
