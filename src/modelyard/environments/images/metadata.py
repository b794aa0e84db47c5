"""What is known of a built image, kept in it as ``image.json``."""

import re
from datetime import datetime
from pathlib import Path

import msgspec

from modelyard.environments.images.interpreter import Interpreter
from modelyard.environments.images.tree import TreeSize

METADATA_FILE = "image.json"
LOCK_FILE = "lock.txt"
_DISTRIBUTION = re.compile(r"(.+)-([^-]+)\.dist-info")


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
    """The distributions in a folder, by the names of their metadata folders; nothing in them is read."""
    matches = (_DISTRIBUTION.fullmatch(entry.name) for entry in site_packages.iterdir())
    return tuple(
        sorted((Package(match[1], match[2]) for match in matches if match), key=lambda package: package.name.lower())
    )


def write_info(image: Path, info: ImageInfo) -> None:
    (image / METADATA_FILE).write_bytes(msgspec.json.encode(info))
    (image / METADATA_FILE).chmod(0o644)


def read_info(image: Path) -> ImageInfo:
    """Raises ``msgspec.DecodeError`` for what ``write_info`` did not write."""
    return msgspec.json.decode((image / METADATA_FILE).read_bytes(), type=ImageInfo)
