"""What an image is made of, and the digest that names it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from modelyard.environments.requirements import Dependency, Option, Requirements, parse_requirements

FORMAT_VERSION = 1
"""Raise it when an image made by newer code differs from one made by older code from the same spec."""


@dataclass(frozen=True)
class RequirementsFile:
    """A requirements file and the name that its owner knows it by, such as ``requirements.txt``."""

    name: str
    text: str


@dataclass(frozen=True)
class ImageSpec:
    """What the user decides about an image.

    Of a package that several files name, the last file's lines count, as when they are installed one after another.
    ``lock`` holds pins with hashes (pip's format) that are preferred, and taken unresolved where they cover
    everything that the files ask for. ``python_version`` is ``"3.11"``, or None for the machine's own.
    """

    requirements: tuple[RequirementsFile, ...] = ()
    lock: str | None = None
    python_version: str | None = None


@dataclass(frozen=True)
class Wanted:
    """One dependency that counts, and the file it is from (None: the runner's own)."""

    dependency: Dependency
    file: str | None

    def text(self) -> str:
        return " ".join([self.dependency.requirement, *(f"--hash={value}" for value in self.dependency.hashes)])


@dataclass(frozen=True)
class WantedSet:
    """Everything that an image has to satisfy."""

    wanted: tuple[Wanted, ...]
    options: tuple[Option, ...]

    def names(self) -> frozenset[str]:
        return frozenset(each.dependency.canonical_name for each in self.wanted)

    def has_option(self, *names: str) -> bool:
        return any(option.name in names for option in self.options)

    def urls(self) -> list[str]:
        """Every URL that these requirements make a build fetch from, beside the package index."""
        options = [option.value for option in self.options if "://" in option.value]
        return options + [each.dependency.url for each in self.wanted if each.dependency.url]

    def requirements_text(self) -> str:
        """A requirements file with all of it, in normal form."""
        lines = [f"{option.name} {option.value}".strip() for option in self.options]
        return "".join(f"{line}\n" for line in [*lines, *(each.text() for each in self.wanted)])


def gather(files: Iterable[RequirementsFile], runner_requirements: str) -> WantedSet:
    """Put several requirements files together; the users' pins win over the runner's.

    Raises ``RequirementsError`` for a file that does not parse.
    """
    parsed = [(file.name, parse_requirements(file.text)) for file in files]
    wanted: list[Wanted] = []
    named_later: set[str] = set()
    layers: list[tuple[str | None, Requirements]] = [(None, parse_requirements(runner_requirements)), *parsed]
    for name, layer in reversed(layers):
        kept = [each for each in layer.dependencies if each.canonical_name not in named_later]
        wanted = [*(Wanted(each, name) for each in kept), *wanted]
        named_later |= {each.canonical_name for each in layer.dependencies}
    options = {(option.name, option.value): option for _, layer in parsed for option in layer.options}
    return WantedSet(tuple(wanted), tuple(options.values()))


def digest_of(wanted: WantedSet, lock: str | None, **base: str) -> str:
    """The name of the image: SHA-256 over the requirements in normal form and what they are installed on."""
    content = {
        "format": FORMAT_VERSION,
        "requirements": sorted(each.text() for each in wanted.wanted),
        "options": [f"{option.name} {option.value}" for option in wanted.options],
        "lock": hashlib.sha256((lock or "").encode()).hexdigest(),
        **base,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
