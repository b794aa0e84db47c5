"""Locks with hashes: which package at which version, out of which files, an image gets."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from modelyard.environments.images.spec import WantedSet

_HASH = re.compile(r"--hash=(\S+)")


@dataclass(frozen=True)
class Pin:
    """A package at a version (or URL), and the hashes of its files."""

    requirement: str
    """``name==version`` or ``name @ url``, with the marker where there is one."""
    hashes: tuple[str, ...]

    @property
    def parsed(self) -> Requirement:
        return Requirement(self.requirement)

    @property
    def name(self) -> str:
        return canonicalize_name(self.parsed.name)

    @property
    def version(self) -> str | None:
        return next((specifier.version for specifier in self.parsed.specifier), None)


def parse_lock(text: str) -> list[Pin]:
    """The pins of a lock as uv and pip write it. Options and comments are passed over."""
    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not bare or bare.startswith("-"):
            continue
        requirement = _HASH.sub("", bare).strip()
        try:
            Requirement(requirement)
        except InvalidRequirement as error:
            raise ValueError(f'"{requirement}" in a lock is not a pin: {error}') from error
        pins.append(Pin(requirement, tuple(_HASH.findall(bare))))
    return pins


def lock_text(pins: Iterable[Pin]) -> str:
    """The lock in pip's format."""
    return "".join(
        " \\\n    ".join([pin.requirement, *(f"--hash={value}" for value in pin.hashes)]) + "\n" for pin in pins
    )


def covers(lock: str, wanted: WantedSet, environment: Mapping[str, str]) -> bool:
    """Whether the lock alone satisfies everything wanted on this machine, so that nothing needs resolving."""
    versions = {pin.name: pin.version for pin in parse_lock(lock) if _applies(pin.parsed.marker, environment)}
    for each in wanted.wanted:
        requirement = Requirement(each.dependency.requirement)
        if not _applies(requirement.marker, environment):
            continue
        if requirement.url or requirement.extras or each.dependency.hashes:
            return False
        version = versions.get(each.dependency.canonical_name)
        if version is None or not requirement.specifier.contains(Version(version), prereleases=True):
            return False
    return True


def keep_wanted_hashes(lock: str, wanted: WantedSet) -> str:
    """The lock with only those hashes that the user's own ``--hash`` options allow."""
    allowed = {
        each.dependency.canonical_name: set(each.dependency.hashes) for each in wanted.wanted if each.dependency.hashes
    }
    if not allowed:
        return lock
    return lock_text(
        Pin(pin.requirement, tuple(sorted(allowed.get(pin.name, set(pin.hashes))))) for pin in parse_lock(lock)
    )


def _applies(marker: Marker | None, environment: Mapping[str, str]) -> bool:
    return marker is None or marker.evaluate(dict(environment))
