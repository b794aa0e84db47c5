"""The rules for the path of a file in a workspace: what a client may send, and how it is stored."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

NAME_LIMIT_BYTES: Final = 255
PATH_LIMIT_BYTES: Final = 1024
PROBLEM_LIMIT: Final = 20
SHOWN_CHARACTERS: Final = 120

_DRIVE: Final = re.compile(r"[A-Za-z]:")
_UNPRINTABLE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION_OVERRIDES: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_file_path(text: str) -> str:
    """The path as it is stored: relative, POSIX, in Unicode form NFC.

    NFC, because macOS sends the same name decomposed that Linux and Windows send composed: both must be one file.
    255 bytes per name is what the common file systems hold; 1,024 for the whole leaves room for the folder that a
    checkout is in, under Linux's 4,096.

    Raises ValueError with the reason, which names the path.
    """
    reason = _fault(text)
    if reason:
        raise ValueError(f"{shown(text)} {reason}")
    path = unicodedata.normalize("NFC", text)
    if len(path.encode()) > PATH_LIMIT_BYTES:
        raise ValueError(f"{shown(text)} is longer than {PATH_LIMIT_BYTES} bytes")
    for name in path.split("/"):
        if len(name.encode()) > NAME_LIMIT_BYTES:
            raise ValueError(f"{shown(text)} has a name of more than {NAME_LIMIT_BYTES} bytes")
    return path


def check_tree(paths: Iterable[str]) -> None:
    """Refuse a set of checked paths that cannot be one tree: a path given twice, or a file where a folder must be.

    Raises ValueError with all the conflicts, at most 20 of them.
    """
    files: set[str] = set()
    problems: dict[str, None] = {}
    for path in paths:
        if path in files:
            problems[f"{shown(path)} is given twice"] = None
        files.add(path)
    for path in sorted(files):
        for folder in _folders_of(path):
            if folder in files:
                problems[f"{shown(folder)} is a file, so {shown(path)} cannot be in it"] = None
    if problems:
        raise ValueError(one_text(list(problems)))


def without_leading_dot(text: str) -> str:
    """The path without one ``./`` in front, as ``find``, ``tar`` and shells write relative paths."""
    return text.removeprefix("./")


def base_name(text: str) -> str:
    """What comes after the last slash or backslash: the name that a client's full local path ends in."""
    return re.split(r"[/\\]", text)[-1]


def shown(text: str) -> str:
    """The text in quotes for a message: escaped where it would not print, and cut where it is long."""
    quoted = ascii(text) if any(map(_is_unprintable, text)) else f"'{text}'"
    return quoted if len(quoted) <= SHOWN_CHARACTERS else f"{quoted[:SHOWN_CHARACTERS]}…'"


def one_text(problems: list[str]) -> str:
    """The problems as one text, the first 20 of them, and how many more there are."""
    more = len(problems) - PROBLEM_LIMIT
    return "; ".join(problems[:PROBLEM_LIMIT]) + (f"; and {more} more" if more > 0 else "")


def _fault(text: str) -> str | None:
    return next((reason for is_wrong, reason in _RULES if is_wrong(text)), None)


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE_CATEGORIES or character in _DIRECTION_OVERRIDES


def _folders_of(path: str) -> list[str]:
    return [path[: match.start()] for match in re.finditer("/", path)]


_RULES: Final[tuple[tuple[Callable[[str], object], str], ...]] = (
    (lambda text: not text, "is empty; a file needs a relative path such as 'custom.py'"),
    (lambda text: any(map(_is_unprintable, text)), "holds a control character or text that is not valid Unicode"),
    (lambda text: "\\" in text, "holds a backslash; folders are separated by '/'"),
    (lambda text: text[0] == "/", "is absolute; a path must be relative, such as 'folder/file.py'"),
    (_DRIVE.match, "begins with a drive letter; a path must be relative, such as 'folder/file.py'"),
    (lambda text: ".." in text.split("/"), "leaves its folder by '..'"),
    (lambda text: "." in text.split("/"), "has a '.' between its slashes"),
    (lambda text: text[-1] == "/", "ends in '/'; a file needs a name"),
    (lambda text: "" in text.split("/"), "has an empty name between its slashes"),
)
