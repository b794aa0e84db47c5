"""Digests: the same image has the same name, a different one never."""

import pytest

from modelyard.environments.images.spec import RequirementsFile, gather
from modelyard.environments.images.store import ImageStore
from modelyard.environments.requirements import RequirementsError
from tests.images.conftest import a_spec

SHA256 = "--hash=sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("numpy>=1,<3\npandas\n", "# comment\n\npandas   # why\nNumPy <3, >=1\n"),
        ("numpy==1.0", "numpy == 1.0\r\n"),
        ("a[x,y]", "a[y, x]"),
        ("", "\n# nothing\n"),
        ("--pre\nnumpy", "numpy\n--pre"),
    ],
)
def test_comments_blanks_and_order_do_not_matter(store: ImageStore, first: str, second: str) -> None:
    assert store.digest(a_spec(first)) == store.digest(a_spec(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("numpy==1.0", "numpy==1.1"),
        ("numpy", "numpy\npandas"),
        ("numpy", "numpy\n--pre"),
        ("numpy", "numpy[extra]"),
        ("numpy", "numpy ; python_version > '3'"),
        ("numpy==1.0", f"numpy==1.0 {SHA256}"),
        ("numpy @ https://a.org/numpy.zip", "numpy @ https://b.org/numpy.zip"),
    ],
)
def test_everything_else_matters(store: ImageStore, first: str, second: str) -> None:
    assert store.digest(a_spec(first)) != store.digest(a_spec(second))


def test_a_lock_matters(store: ImageStore) -> None:
    assert store.digest(a_spec("numpy", lock="numpy==1.0")) != store.digest(a_spec("numpy"))


def test_files_count_together_and_the_last_one_wins(store: ImageStore) -> None:
    assert store.digest(a_spec("numpy==1.0\npandas", "numpy==2.0")) == store.digest(a_spec("pandas\nnumpy==2.0"))


def test_the_users_pin_wins_over_the_runners() -> None:
    wanted = gather([RequirementsFile("requirements.txt", "OrJSON==3.10.0")], "orjson>=3.11\nuvloop\n")

    assert sorted(each.text() for each in wanted.wanted) == ["orjson==3.10.0", "uvloop"]


def test_a_digest_needs_requirements_that_parse(store: ImageStore) -> None:
    with pytest.raises(RequirementsError, match="line 2"):
        store.digest(a_spec("numpy\n-r other.txt\n"))
