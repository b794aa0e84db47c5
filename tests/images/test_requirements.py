"""Requirements files: what is read, and what is refused with its line."""

import pytest

from modelyard.environments.requirements import (
    MAX_DEPENDENCIES,
    MAX_TEXT_BYTES,
    Constraint,
    Dependency,
    RequirementsError,
    parse_requirements,
)

SHA256 = "sha256:" + "0a" * 32


def the_dependency(text: str) -> Dependency:
    (dependency,) = parse_requirements(text).dependencies
    return dependency


@pytest.mark.parametrize(
    ("text", "name", "constraints", "extras"),
    [
        ("pandas", "pandas", [], ""),
        ("pandas==1.2.3", "pandas", [("==", "1.2.3")], ""),
        ("pandas >= 1.0, < 3", "pandas", [(">=", "1.0"), ("<", "3")], ""),
        ("pandas<=2,>1", "pandas", [("<=", "2"), (">", "1")], ""),
        ("pandas==2.*", "pandas", [("==", "2.*")], ""),
        ("pandas (>=1.0)", "pandas", [(">=", "1.0")], ""),
        ("Pandas_Thing~=1.4", "Pandas_Thing", [], ""),
        ("pandas!=1.5,>1", "pandas", [(">", "1")], ""),
        ("pandas===1.0", "pandas", [], ""),
        ("redis[hiredis, tls]>=4", "redis", [(">=", "4")], "hiredis,tls"),
        ('numpy>=1; python_version > "3"', "numpy", [(">=", "1")], ""),
        ("docopt @ https://example.org/docopt-1.tar.gz", "docopt", [], ""),
        ("https://example.org/packaging-24.0-py3-none-any.whl", "packaging", [], ""),
        ("https://example.org/packaging-24.0.tar.gz ; python_version > '3'", "packaging", [], ""),
        ("git+https://example.org/a/b.git@v1#egg=bee", "bee", [], ""),
        ("-e git+https://example.org/a/b.git#egg=bee", "bee", [], ""),
        ("bee[fast] @ git+https://example.org/a/b.git", "bee", [], "fast"),
        (f"pandas==1 --hash={SHA256}", "pandas", [("==", "1")], ""),
    ],
)
def test_a_dependency(text: str, name: str, constraints: list[tuple[str, str]], extras: str) -> None:
    dependency = the_dependency(text)

    assert dependency.package_name == name
    assert dependency.constraints == tuple(Constraint(*each) for each in constraints)
    assert dependency.extras == extras
    assert dependency.line == text


def test_lines_are_counted_as_written() -> None:
    text = "\ufeff# comment\r\n\r\npandas # why\n\nnumpy>=1, \\\n   <3\n   \nscipy\\\n # no\n"

    found = [(each.line_number, each.requirement) for each in parse_requirements(text).dependencies]

    assert found == [(3, "pandas"), (5, "numpy<3,>=1"), (8, "scipy")]


def test_the_line_keeps_comment_and_continuation() -> None:
    assert the_dependency("numpy>=1, \\\n   <3  # both\n").line == "numpy>=1, \\\n   <3  # both"


def test_hashes_of_a_dependency_are_read() -> None:
    dependency = the_dependency(f"pandas==1.0 \\\n  --hash={SHA256} \\\n  --hash {SHA256}\n")

    assert (dependency.requirement, dependency.hashes) == ("pandas==1.0", (SHA256,))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--extra-index-url https://example.org/simple", ("--extra-index-url", "https://example.org/simple")),
        ("--index-url=https://example.org/simple", ("--index-url", "https://example.org/simple")),
        ("-i https://example.org/simple", ("--index-url", "https://example.org/simple")),
        ("-f https://example.org/files", ("--find-links", "https://example.org/files")),
        ("--find-links 'https://example.org/files'  # there", ("--find-links", "https://example.org/files")),
        ("--no-binary numpy,scipy", ("--no-binary", "numpy,scipy")),
        ("--trusted-host example.org", ("--trusted-host", "example.org")),
        ("--pre", ("--pre", "")),
    ],
)
def test_an_option_is_kept_for_the_build(line: str, expected: tuple[str, str]) -> None:
    requirements = parse_requirements(f"{line}\npandas\n")

    assert [(option.name, option.value, option.line_number) for option in requirements.options] == [(*expected, 1)]
    assert [each.package_name for each in requirements.dependencies] == ["pandas"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("-r other.txt", "other files are not included"),
        ("-rother.txt", "other files are not included"),
        ("--requirement=other.txt", "other files are not included"),
        ("-c constraints.txt", "other files are not included"),
        ("./package", "local paths"),
        ("../package", "local paths"),
        ("/opt/package", "local paths"),
        ("~/package", "local paths"),
        ("C:\\package", "local paths"),
        ("package-1.0-py3-none-any.whl", "local paths"),
        ("package @ file:///opt/package", "local paths"),
        ("package @ ../package", "local paths"),
        ("file:package", "local paths"),
        ("file:///opt/package-1.0.tar.gz", "local paths"),
        ("-e .", "local folder"),
        ("-e /opt/package", "local folder"),
        ("--find-links /opt/wheels", "local paths"),
        ("--index-url file:///opt/simple", "local paths"),
        ("--extra-index-url ./simple", "local paths"),
        ("git+ssh://git@example.org/a/b.git#egg=bee", "git+https"),
        ("git+file:///opt/repository#egg=bee", "git+https"),
        ("hg+https://example.org/a#egg=bee", "https"),
        ("https://example.org/", 'write "name @'),
        ("pandas==${VERSION}", "environment variables"),
        ("--index-url https://${TOKEN}@example.org/simple", "environment variables"),
        ("pandas 1.0", "not a dependency"),
        ("pandas==", "not a dependency"),
        ("==1.0", "not a dependency"),
        ("pandas>=1.0 <2", "not a dependency"),
        ("pandas; python_version", "not a dependency"),
        ("pandas\x00==1", "control characters"),
        ('pandas; platform_version == "a\u2028-r /etc/passwd"', "control characters"),
        ("--no-binary a\x85-r", "control characters"),
        ("pandas==1 --hash=md5:0123", "must be sha256"),
        ("pandas==1 --hash=sha256:0123", "must be sha256"),
        ("pandas==1 --global-option=x", "--global-option is not an option"),
        ("--nonsense x", "--nonsense is not an option"),
        ("--index-url", "needs a value"),
        ("--pre x", "takes no value"),
        ("--index-url https://a.org --pre", "one option per line"),
        ("p" * 10_001, "at most 10000 characters"),
    ],
)
def test_a_wrong_line_is_named(line: str, reason: str) -> None:
    with pytest.raises(RequirementsError) as caught:
        parse_requirements(f"numpy\n\n{line}\nscipy\n")

    ((number, text, why),) = caught.value.errors
    assert (number, text) == (3, line)
    assert reason in why


def test_all_wrong_lines_are_named_at_once() -> None:
    with pytest.raises(RequirementsError) as caught:
        parse_requirements("-r a.txt\nnumpy\n./here\npandas pandas\n")

    assert [number for number, _, _ in caught.value.errors] == [1, 3, 4]
    assert 'line 3 ("./here")' in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("numpy=1.26.4", "there is no operator =; numpy==1.26.4 asks for just that version"),
        ("numpy => 1.26", "there is no operator =>; numpy>=1.26 asks for that or a later one"),
        ("numpy[x]=<2", "there is no operator =<; numpy[x]<=2 asks for that or an earlier one"),
        ("numpy===", "=== is followed by '', which is no version; numpy==1.0 asks for just 1.0"),
        ("numpy===newest", "=== is followed by 'newest'"),
    ],
)
def test_versions_that_no_installer_takes_are_explained(line: str, words: str) -> None:
    with pytest.raises(RequirementsError) as caught:
        parse_requirements(f"pandas\n{line}\nnumpy===1.26.4\n")
    [(number, _, reason)] = caught.value.errors
    assert number == 2
    assert words in reason


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(RequirementsError) as caught:
        parse_requirements("numpy\npändas\n".encode("latin-1"))

    assert [(number, reason) for number, _, reason in caught.value.errors] == [(2, "the file is not UTF-8 text")]


def test_size_is_limited() -> None:
    with pytest.raises(RequirementsError, match="at most 1048576"):
        parse_requirements("#" * (MAX_TEXT_BYTES + 1))
    with pytest.raises(RequirementsError, match="at most 2000 dependencies"):
        parse_requirements("".join(f"package{number}\n" for number in range(MAX_DEPENDENCIES + 1)))
    assert len(parse_requirements("".join(f"p{number}\n" for number in range(MAX_DEPENDENCIES))).dependencies) == 2_000


def test_an_empty_file_asks_for_nothing() -> None:
    assert parse_requirements("\n# nothing\n \n").dependencies == ()
