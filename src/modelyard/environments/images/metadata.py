"""What is known of a built image, kept in it as ``image.json``."""

import re
from datetime import datetime
from pathlib import Path

import msgspec

from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.tree import TreeSize, write_new

METADATA_FILE = "image.json"
LOCK_FILE = "lock.txt"
MAX_PACKAGES = 4_000
_DISTRIBUTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)-([A-Za-z0-9.!+_]+)\.dist-info")


class Package(msgspec.Struct, frozen=True):
    """An installed distribution."""

    name: str
    version: str


class ImageInfo(msgspec.Struct, frozen=True):
    """A built image: what is in it and what it took."""

    digest: str
    python_version: str
    installer: str
    packages: tuple[Package, ...]
    files: int
    size_bytes: int
    built_at: datetime
    duration_s: float

    @classmethod
    def of(
        cls,
        image: Path,
        *,
        digest: str,
        interpreter: Interpreter,
        installer: str,
        size: TreeSize,
        built_at: datetime,
        duration_s: float,
    ) -> "ImageInfo":
        packages = installed_packages(interpreter.site_packages(image))
        return cls(digest, interpreter.version, installer, packages, size.files, size.size_bytes, built_at, duration_s)


def installed_packages(site_packages: Path) -> tuple[Package, ...]:
    """The distributions in a folder, by the names of their metadata folders; nothing in them is read.

    Of names that no installer makes none is told, and no more than 4,000 in all: a build script may make folders, too.
    """
    matches = (_DISTRIBUTION.fullmatch(entry.name) for entry in site_packages.iterdir())
    found = (Package(match[1], match[2]) for match in matches if match)
    return tuple(sorted(found, key=lambda package: package.name.lower())[:MAX_PACKAGES])


def write_info(image: Path, info: ImageInfo) -> None:
    write_new(image / METADATA_FILE, msgspec.json.encode(info))


def read_info(image: Path) -> ImageInfo:
    """Raises ``msgspec.DecodeError`` for what ``write_info`` did not write."""
    return msgspec.json.decode((image / METADATA_FILE).read_bytes(), type=ImageInfo)
