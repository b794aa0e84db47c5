"""What a ``requirements.txt`` asks for: its dependencies, its options, and every line that is wrong.

The format is pip's ("Requirements File Format" in pip's documentation) with PEP 508 dependencies. Nothing that
would read a file of the machine that builds is accepted: includes, local paths, environment variables.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from modelyard.kernel.texts import decoded

MAX_TEXT_BYTES = 1024 * 1024
MAX_LINE_CHARACTERS = 10_000
MAX_DEPENDENCIES = 2_000

_WIRE_OPERATORS = frozenset({"<", "<=", "==", ">=", ">"})
_COMMENT = re.compile(r"(^|\s+)#.*$")
_WRONG_OPERATOR = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*(?:\s*\[[^\]]*\])?)\s*(=>|=<|<>|=)\s*([0-9][A-Za-z0-9.+!_-]*)"
)
_MEANT = {"=": "==", "=>": ">=", "=<": "<=", "<>": "!="}
_ASKS_FOR = {"==": "just that version", ">=": "that or a later one", "<=": "that or an earlier one", "!=": "any other"}
_CONSTRAINT = re.compile(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,;()]+)")
_NAME_AND_EXTRAS = re.compile(r"^[A-Za-z0-9._-]+\s*(\[[^\]]*\])?")
_VARIABLE = re.compile(r"\$\{[A-Z0-9_]+\}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")
_HASH_OPTION = re.compile(r"\s--hash(?:\s*=\s*|\s+)(\S+)")
_LINE_OPTION = re.compile(r"\s(--[a-z][a-z-]*)")
_URL_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://|^(file):", re.IGNORECASE)
_LOCAL_PATH = re.compile(r"^(\.{1,2}([/\\]|$)|[/~\\]|[A-Za-z]:[\\/])|\.(whl|zip|tar\.gz|tgz|tar\.bz2)$")

_LONG_OPTIONS = {
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
    "-e": "--editable",
    "-r": "--requirement",
    "-c": "--constraint",
}
_URL_OPTIONS = frozenset({"--index-url", "--extra-index-url", "--find-links"})
_VALUE_OPTIONS = _URL_OPTIONS | {"--no-binary", "--only-binary", "--trusted-host", "--use-feature"}
_FLAGS = frozenset({"--no-index", "--pre", "--prefer-binary", "--require-hashes"})


@dataclass(frozen=True)
class Constraint:
    """One version bound that the API's enum can say. ``operator`` is ``<``, ``<=``, ``==``, ``>=`` or ``>``."""

    operator: str
    version: str


@dataclass(frozen=True)
class Dependency:
    """One dependency of a requirements file."""

    package_name: str
    """As written; ``canonical_name`` compares."""
    constraints: tuple[Constraint, ...]
    extras: str
    """Comma-separated, as written without blanks; empty when there are none."""
    line: str
    """The whole line as written, continuations and comment included, without surrounding blanks."""
    line_number: int
    """From 1; of the first line where continuations follow."""
    requirement: str
    """The PEP 508 text in normal form: what the build is given and what the image's digest counts."""
    hashes: tuple[str, ...] = ()
    """``algorithm:hex``, sorted: only files with one of these may be installed."""
    url: str | None = None
    """For a direct reference: the ``https://`` or ``git+https://`` URL."""

    @property
    def canonical_name(self) -> str:
        return canonicalize_name(self.package_name)


@dataclass(frozen=True)
class Option:
    """A line such as ``--extra-index-url https://…``. ``name`` is the long form; a flag has an empty value."""

    name: str
    value: str
    line_number: int


@dataclass(frozen=True)
class Requirements:
    """A requirements file, understood."""

    dependencies: tuple[Dependency, ...] = ()
    options: tuple[Option, ...] = ()


class RequirementsError(ValueError):
    """Every wrong line of a requirements file: ``errors`` is a list of (line number, text of the line, reason)."""

    def __init__(self, errors: list[tuple[int, str, str]]) -> None:
        self.errors = errors
        super().__init__(
            "; ".join(f'line {number} ("{_shortened(text)}"): {reason}' for number, text, reason in errors)
        )


class _WrongLineError(ValueError):
    """Why one line is refused."""


def parse_requirements(text: str | bytes) -> Requirements:
    """The dependencies and options of a requirements file.

    Raises ``RequirementsError`` with all wrong lines at once.
    """
    content = _decoded(text)
    dependencies: list[Dependency] = []
    options: list[Option] = []
    errors: list[tuple[int, str, str]] = []
    for number, written, logical in _logical_lines(content):
        try:
            _refuse_unprintable(logical)
            if logical.startswith("-"):
                found = _parse_option(logical, written, number)
            else:
                found = _parse_dependency(logical, written, number)
        except _WrongLineError as error:
            errors.append((number, written, str(error)))
            continue
        if isinstance(found, Option):
            options.append(found)
        else:
            dependencies.append(found)
        if len(dependencies) > MAX_DEPENDENCIES:
            errors.append((number, written, f"there may be at most {MAX_DEPENDENCIES} dependencies"))
            break
    if errors:
        raise RequirementsError(errors)
    return Requirements(tuple(dependencies), tuple(options))


def _decoded(text: str | bytes) -> str:
    size_bytes = len(text.encode(errors="surrogatepass") if isinstance(text, str) else text)
    if size_bytes > MAX_TEXT_BYTES:
        raise RequirementsError([(1, "", f"the file has {size_bytes} bytes; at most {MAX_TEXT_BYTES} are read")])
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return decoded(text)
    except UnicodeDecodeError as error:
        number = text[: error.start].count(b"\n") + 1
        wrong = text.split(b"\n")[number - 1].decode(errors="backslashreplace")
        raise RequirementsError([(number, wrong.strip(), "the file is not UTF-8 text")]) from error


def _logical_lines(content: str) -> Iterator[tuple[int, str, str]]:
    """(number of the first line, text as written, text without comment and continuations) of what is not blank."""
    written: list[str] = []
    joined: list[str] = []
    first = 1
    lines = re.split(r"\r\n|\r|\n", content)
    for number, line in enumerate(lines, start=1):
        first = first if joined else number
        is_comment = line.lstrip().startswith("#")
        goes_on = line.endswith("\\") and not is_comment and number < len(lines)
        written.append(line)
        joined.append(line[:-1] if goes_on else line if not is_comment else " " + line)
        if goes_on:
            continue
        logical = _COMMENT.sub("", "".join(joined)).strip()
        if logical:
            yield first, "\n".join(written).strip(), logical
        written, joined = [], []


def _parse_option(logical: str, written: str, number: int) -> Option | Dependency:
    if " -" in logical.replace(" --hash", ""):
        parts = re.split(r"\s+(?=-)", logical)
        raise _WrongLineError(f"one option per line, please: {', '.join(parts)}")
    match = re.match(r"(--[a-z-]+|-[a-z])(?:\s*=\s*|\s+)?(.*)$", logical)
    if match is None:
        raise _WrongLineError("this is not an option that pip knows")
    name, value = _LONG_OPTIONS.get(match[1], match[1]), match[2].strip().strip("'\"")
    if name in {"--requirement", "--constraint"}:
        raise _WrongLineError(f"other files are not included; write the lines of {value or 'that file'} here")
    if name == "--editable":
        return _parse_editable(value, written, number)
    if name in _FLAGS:
        if value:
            raise _WrongLineError(f"{name} takes no value")
        return Option(name, "", number)
    if name not in _VALUE_OPTIONS:
        raise _WrongLineError(f"{match[1]} is not an option of a requirements file that a build can honour")
    if not value:
        raise _WrongLineError(f"{name} needs a value")
    _refuse_variables(value)
    if name in _URL_OPTIONS:
        _check_web_url(value, name)
    elif re.search(r"\s", value):
        raise _WrongLineError(f"{name} takes one value, separated by commas where there are several")
    return Option(name, value, number)


def _parse_editable(value: str, written: str, number: int) -> Dependency:
    if not value.startswith("git+"):
        raise _WrongLineError(
            "-e installs from a local folder, which a build does not have; name a package or a git+https URL"
        )
    return _parse_dependency(value, written, number)


def _parse_dependency(logical: str, written: str, number: int) -> Dependency:
    if len(logical) > MAX_LINE_CHARACTERS:
        raise _WrongLineError(f"a line may have at most {MAX_LINE_CHARACTERS} characters")
    _refuse_variables(logical)
    hashes = _hashes(logical)
    bare = _HASH_OPTION.sub("", logical).strip()
    if option := _LINE_OPTION.search(bare):
        raise _WrongLineError(f"{option[1]} is not an option of a dependency that a build can honour")
    scheme = _URL_SCHEME.match(bare)
    if scheme:
        bare = _named_url(bare)
    elif _LOCAL_PATH.search(bare.split(";")[0].strip()) and "@" not in bare:
        raise _WrongLineError("local paths are not installed; name a package of the index or an https URL")
    try:
        requirement = Requirement(bare)
    except InvalidRequirement as error:
        raise _WrongLineError(f"this is not a dependency: {_mistake(bare) or _first_line(error)}") from error
    _check_arbitrary_versions(requirement)
    if requirement.url is not None:
        _check_direct_url(requirement.url)
    return Dependency(
        package_name=requirement.name,
        constraints=() if requirement.url else _constraints(bare),
        extras=_extras(bare),
        line=written,
        line_number=number,
        requirement=_normal_form(requirement),
        hashes=hashes,
        url=requirement.url,
    )


def _mistake(bare: str) -> str | None:
    """What is meant by an operator that there is not, in the words of who wrote it; None where that is unclear."""
    found = _WRONG_OPERATOR.fullmatch(bare)
    if found is None:
        return None
    name, operator, version = found.groups()
    meant = _MEANT[operator]
    return f"there is no operator {operator}; {name}{meant}{version} asks for {_ASKS_FOR[meant]}"


def _check_arbitrary_versions(requirement: Requirement) -> None:
    """Refuse ``===`` without a version: the standard allows any text after it, and no installer takes it."""
    for specifier in requirement.specifier:
        if specifier.operator != "===":
            continue
        try:
            Version(specifier.version)
        except InvalidVersion:
            example = f"{requirement.name}==1.0 asks for just 1.0"
            raise _WrongLineError(f"=== is followed by {specifier.version!r}, which is no version; {example}") from None


def _hashes(logical: str) -> tuple[str, ...]:
    found = [value.lower() for value in _HASH_OPTION.findall(logical)]
    for value in found:
        if not _HASH.fullmatch(value):
            raise _WrongLineError(f"--hash={value} must be sha256:, sha384: or sha512: and the digest in hexadecimal")
    return tuple(sorted(set(found)))


def _named_url(bare: str) -> str:
    """``name @ url`` for a bare URL, its name taken from ``#egg=`` or from the file's name."""
    url, _, marker = bare.partition(" ; ")
    _check_direct_url(url)
    parts = urlsplit(url)
    egg = re.search(r"(?:^|&)egg=([^&]+)", parts.fragment)
    name = unquote(egg[1]) if egg else _name_of_file(unquote(parts.path.rsplit("/", 1)[-1]))
    if not name:
        raise _WrongLineError(f'the package\'s name does not follow from the URL; write "name @ {url}"')
    suffix = f" ; {marker}" if marker else ""
    return f"{name} @ {url}{suffix}"


def _name_of_file(file_name: str) -> str | None:
    try:
        if file_name.endswith(".whl"):
            return str(parse_wheel_filename(file_name)[0])
        return str(parse_sdist_filename(file_name)[0])
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def _check_direct_url(url: str) -> None:
    if url.startswith("git+"):
        if not url.startswith("git+https://"):
            raise _WrongLineError("git repositories are fetched over git+https:// only")
        _check_web_url(url.removeprefix("git+"), "a git repository")
        return
    _check_web_url(url, "a package's URL", schemes=("https", "http"))


def _check_web_url(url: str, what: str, schemes: tuple[str, ...] = ("https", "http")) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise _WrongLineError(f"{what} is not a URL: {error}") from error
    if parts.scheme not in schemes or not host or re.search(r"\s", url):
        raise _WrongLineError(f'{what} must be an https:// URL, not "{_shortened(url)}"; local paths are not read')


def _refuse_unprintable(logical: str) -> None:
    """Control characters, and what pip takes for the end of a line although editors do not show it as one."""
    if len(logical.splitlines()) != 1 or any(ord(character) < 32 and character != "\t" for character in logical):
        raise _WrongLineError("the line holds control characters")


def _refuse_variables(text: str) -> None:
    if variable := _VARIABLE.search(text):
        raise _WrongLineError(f"{variable[0]}: environment variables have no value in a build")


def _constraints(bare: str) -> tuple[Constraint, ...]:
    specifiers = _NAME_AND_EXTRAS.sub("", bare.split(";", maxsplit=1)[0], count=1)
    found = _CONSTRAINT.findall(specifiers)
    return tuple(Constraint(operator, version) for operator, version in found if operator in _WIRE_OPERATORS)


def _extras(bare: str) -> str:
    match = _NAME_AND_EXTRAS.match(bare)
    inside = match[1].strip("[]") if match and match[1] else ""
    return ",".join(extra.strip() for extra in inside.split(",") if extra.strip())


def _normal_form(requirement: Requirement) -> str:
    extras = (
        f"[{','.join(sorted(canonicalize_name(extra) for extra in requirement.extras))}]" if requirement.extras else ""
    )
    name = canonicalize_name(requirement.name)
    marker = f" ; {requirement.marker}" if requirement.marker else ""
    if requirement.url:
        return f"{name}{extras} @ {requirement.url}{marker}"
    return f"{name}{extras}{','.join(sorted(str(specifier) for specifier in requirement.specifier))}{marker}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _shortened(text: str) -> str:
    first = text.splitlines()[0] if text else ""
    return first if len(first) <= 200 else first[:200] + "…"
