"""The environments that ship with Modelyard: a folder each, with ``environment.yaml``, requirements and their lock."""

import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from modelyard.environments.images.spec import ImageSpec, RequirementsFile

LOCK_FILE = "requirements.lock"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class BuiltinEnvironment:
    """A built-in environment for one version of Python."""

    key: str
    """The folder's name: stays the same over releases."""
    name: str
    description: str
    programming_language: str
    use_cases: tuple[str, ...]
    requirements: str
    lock: str | None
    """Pins with hashes for all supported Pythons and platforms; None where an index cannot be locked for all."""
    python_version: str

    def spec(self) -> ImageSpec:
        """What its image is made of."""
        return ImageSpec(self.requirements_files(), self.lock, self.python_version)

    def requirements_files(self) -> tuple[RequirementsFile, ...]:
        return (RequirementsFile(f"requirements.txt of {self.name}", self.requirements),)


def load_builtin(python_version: str | None = None) -> list[BuiltinEnvironment]:
    """All built-in environments, in the order of their keys, for a Python such as ``3.11`` (None: this one)."""
    version = python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    return [_load(folder, version) for folder in definition_folders()]


def definition_folders() -> list[Path]:
    """The folders of the definitions."""
    return sorted(path.parent for path in _FOLDER.glob("*/environment.yaml"))


def _load(folder: Path, python_version: str) -> BuiltinEnvironment:
    definition = yaml.safe_load((folder / "environment.yaml").read_text())
    lock_file = folder / LOCK_FILE
    return BuiltinEnvironment(
        key=folder.name,
        name=definition["name"].format(python_version=python_version),
        description=definition["description"],
        programming_language=definition["programmingLanguage"],
        use_cases=tuple(definition["useCases"]),
        requirements=(folder / "requirements.txt").read_text(),
        lock=lock_file.read_text() if lock_file.is_file() else None,
        python_version=python_version,
    )
