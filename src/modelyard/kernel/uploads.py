"""The ``file`` and ``filePath`` fields of an upload: which file goes where."""

from typing import TypeVar

from modelyard.kernel.errors import Invalid, invalid
from modelyard.kernel.file_paths import (
    base_name,
    check_file_path,
    check_tree,
    one_text,
    without_leading_dot,
)
from modelyard.kernel.multipart import Form, FormFile
from modelyard.kernel.wire import NOT_JSON, decode_json

Stored = TypeVar("Stored")


def pair_files(form: Form[Stored], file_field: str = "file", path_field: str = "filePath") -> list[tuple[str, Stored]]:
    """Each file with its checked path: the n-th ``file`` goes to the n-th ``filePath`` (seed 001, ``file``).

    The paths may also be one field with a JSON list. One ``./`` in front is dropped. Where no path is sent at all,
    a file's own name is its path: relative names as they are, of a full local path only the last name.

    Raises Invalid when the numbers differ, with every path that is refused (20 of them), and for paths that
    cannot be one tree.
    """
    files = form.files_of(file_field)
    paths = _sent_paths(form, path_field)
    if paths is None:
        paths = [_own_path(item) for item in files]
    if len(paths) != len(files):
        raise _count_mismatch(len(files), len(paths), file_field, path_field)
    checked, problems = _check_all(paths)
    if problems:
        raise invalid(**{path_field: one_text(problems)})
    try:
        check_tree(checked)
    except ValueError as error:
        raise invalid(**{path_field: str(error)}) from None
    return list(zip(checked, (item.stored for item in files), strict=True))


def _sent_paths(form: Form[Stored], path_field: str) -> list[str] | None:
    """The paths as sent, None where there are none. What only looks like a list, as ``[id].tsx`` does, is a path."""
    values = form.values(path_field)
    if len(values) == 1 and values[0].lstrip().startswith("["):
        try:
            return decode_json(values[0], list[str])
        except NOT_JSON:
            return values
    return values or None


def _own_path(item: FormFile[Stored]) -> str:
    name = item.filename or ""
    is_local_path = name.startswith(("/", "\\")) or name[1:3] in {":\\", ":/"}
    return base_name(name) if is_local_path else name


def _check_all(paths: list[str]) -> tuple[list[str], list[str]]:
    checked: list[str] = []
    problems: list[str] = []
    for path in paths:
        try:
            checked.append(check_file_path(without_leading_dot(path)))
        except ValueError as error:
            problems.append(str(error))
    return checked, problems


def _count_mismatch(files: int, paths: int, file_field: str, path_field: str) -> Invalid:
    text = (
        f"{files} '{file_field}' parts but {paths} '{path_field}' values; each file needs one path, in the same order"
    )
    return Invalid(text, {file_field: text, path_field: text})
