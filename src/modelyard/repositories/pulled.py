"""What a pull takes: which paths, how much of it, and what it found."""

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.kernel.file_paths import check_file_path, one_text, shown

MAX_PATHS = 1000
MAX_PATH_CHARACTERS = 1024  # as workspaces store where a file is from


class PullError(Exception):
    """It cannot be pulled; ``message`` says why and what to do, and repeats no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True)
class Limits:
    """Of one pull: files, and bytes of all together and so of each."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Found:
    """A file of a repository: where it is there, and where it goes. ``key`` is what it is read by."""

    repository_path: str
    path: str
    key: str
    size_bytes: int | None = None


def read_source_paths(given: str | Sequence[str]) -> tuple[str, ...]:
    """The paths that are wanted, without doubles; none is everything. Raises ValueError with every wrong one.

    Everything is also ``.``, ``/`` and ``*``; a folder may end in ``/`` or ``/*``.
    """
    texts = [given] if isinstance(given, str) else list(given)
    if len(texts) > MAX_PATHS:
        raise ValueError(f"at most {MAX_PATHS} paths are pulled at once, these are {len(texts)}")
    paths: dict[str, None] = {}
    problems = []
    for text in texts:
        path = text.removeprefix("./").removesuffix("*").rstrip("/") if text.endswith(("/*", "/")) else text
        if text in {"", ".", "/", "*", "./", "/*", "./*"}:
            return ()
        try:
            check_file_path(path.removeprefix("./"))
        except ValueError as error:
            problems.append(str(error))
        paths[path.removeprefix("./")] = None
    if problems:
        raise ValueError(one_text(problems))
    return tuple(paths)


def placed(repository_path: str, wanted: str | None) -> str:
    """Where a file goes that was found under a wanted path: a folder's files go by their path inside of it.

    Raises ValueError for a path that no version can hold.
    """
    if len(repository_path) > MAX_PATH_CHARACTERS:
        raise ValueError(f"{shown(repository_path)} is longer than {MAX_PATH_CHARACTERS} characters in the repository")
    if wanted is None:
        return check_file_path(repository_path)
    if repository_path == wanted:
        return check_file_path(posixpath.basename(wanted))
    return check_file_path(repository_path[len(wanted) + 1 :])


def sort_out(paths: Iterable[tuple[str, str, int | None]], wanted: Sequence[str], limits: Limits) -> list[Found]:
    """Which of the ``(path, key, size)`` of a repository are wanted, and where each goes.

    Raises ``PullError`` for wanted paths that are not there, for too many files, and for two that go to one place.
    """
    found: dict[str, Found] = {}
    missing = set(wanted)
    problems: list[str] = []
    for path, key, size in paths:
        for one in _wanted_by(path, wanted):
            missing.discard(one or "")
            try:
                place = placed(path, one)
            except ValueError as error:
                problems.append(str(error))
                continue
            other = found.setdefault(place, Found(path, place, key, size))
            if other.repository_path != path:
                problems.append(f"{shown(other.repository_path)} and {shown(path)} would both become {shown(place)}")
        if len(found) + len(problems) > limits.files:
            raise PullError(
                f"More than the {limits.files} files that a version may hold would be pulled; name fewer in sourcePath."
            )
    if missing:
        raise PullError(f"There is no {one_text([shown(path) for path in sorted(missing)])} in the repository.")
    if problems:
        raise PullError(f"These files cannot be pulled: {one_text(problems)}.")
    if not found:
        raise PullError("The repository has no files to pull.")
    _check_sizes(found.values(), limits)
    return list(found.values())


def _check_sizes(found: Iterable[Found], limits: Limits) -> None:
    sized = [(one.repository_path, one.size_bytes) for one in found if one.size_bytes is not None]
    large = [f"{shown(path)} ({size} bytes)" for path, size in sized if size > limits.bytes]
    if large:
        raise PullError(f"These files have more than the {limits.bytes} bytes that are allowed: {one_text(large)}.")
    total = sum(size for _, size in sized)
    if total > limits.bytes:
        raise PullError(f"The files have {total} bytes together; {limits.bytes} are allowed. Name fewer in sourcePath.")


def _wanted_by(path: str, wanted: Sequence[str]) -> list[str | None]:
    if not wanted:
        return [None]
    return [one for one in wanted if path == one or path.startswith(f"{one}/")]
