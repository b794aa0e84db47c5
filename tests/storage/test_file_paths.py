"""Paths of files in a workspace: what is taken, what is refused and why."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.kernel.file_paths import check_file_path, check_tree, shown, without_leading_dot


@pytest.mark.parametrize(
    "path",
    [
        "custom.py",
        "a/b/c.txt",
        ".gitignore",
        "a b/c d",
        "..a",
        "a..",
        "...",
        "[id].tsx",
        "ab:c",
        "日本/é.py",
        "x" * 255,
    ],
)
def test_taken_as_it_is(path: str) -> None:
    assert check_file_path(path) == path


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        ("//x", "is absolute"),
        ("../x", "leaves its folder"),
        ("a/../../x", "leaves its folder"),
        ("a/..", "leaves its folder"),
        (".", "'.' between"),
        ("./a", "'.' between"),
        ("a/./b", "'.' between"),
        ("a//b", "an empty name"),
        ("a/", "ends in '/'"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x7fb", "control character"),
        ("a\x85b", "control character"),
        ("a\u202eyp.b", "control character"),
        ("a\u2028b", "control character"),
        ("a\udc80b", "not valid Unicode"),
        ("a\\b", "backslash"),
        ("..\\b", "backslash"),
        ("C:/x", "drive letter"),
        ("c:x", "drive letter"),
        ("x" * 256, "more than 255 bytes"),
        ("é" * 128, "more than 255 bytes"),
        ("/".join(["x" * 200] * 6), "longer than 1024 bytes"),
    ],
)
def test_refused_with_the_reason(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_file_path(path)


def test_a_message_shows_the_path_so_that_it_prints() -> None:
    with pytest.raises(ValueError, match=r"'a\\x00b' holds"):
        check_file_path("a\0b")
    assert len(shown("x" * 5000)) < 130
    shown("a\udc80b" * 5000).encode()


def test_both_unicode_forms_are_one_file() -> None:
    decomposed = unicodedata.normalize("NFD", "modèle/é.py")
    assert decomposed != "modèle/é.py"
    assert check_file_path(decomposed) == "modèle/é.py"


def test_the_limit_counts_the_stored_form() -> None:
    name = unicodedata.normalize("NFD", "é" * 127)
    assert len(name.encode()) > 255
    assert check_file_path(name) == "é" * 127


@given(st.text(st.characters(), max_size=40) | st.text(st.sampled_from("a./\\:\0é\u0301"), max_size=12))
def test_what_is_taken_stays_inside_and_stays_the_same(text: str) -> None:
    try:
        path = check_file_path(text)
    except ValueError as error:
        str(error).encode()
        return
    assert check_file_path(path) == path
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert not {"\\", "\0"} & set(path)
    assert path.encode()


def test_one_dot_in_front_is_dropped() -> None:
    assert without_leading_dot("./a/b") == "a/b"
    assert without_leading_dot("././a") == "./a"
    assert without_leading_dot("../a") == "../a"


def test_a_tree() -> None:
    check_tree(["a", "b/c", "b/d", "a.b/c", "a-/c"])


def test_conflicts_are_all_named() -> None:
    with pytest.raises(ValueError, match="'a' is given twice") as caught:
        check_tree(["a/b/c", "a", "x", "x/y", "a"])
    assert "'a' is a file, so 'a/b/c' cannot be in it" in str(caught.value)
    assert "'x' is a file, so 'x/y' cannot be in it" in str(caught.value)


def test_many_conflicts_are_cut() -> None:
    with pytest.raises(ValueError, match="and 10 more"):
        check_tree(["a", *(f"a/{number}" for number in range(30))])
