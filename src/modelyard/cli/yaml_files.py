"""Files in YAML that describe a folder: read with the place of a mistake."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from modelyard.cli.errors import CommandError
from modelyard.plain_yaml import LABEL_FIELDS, PlainLoader


class _Loader(PlainLoader):
    """Reads names as texts, too."""

    text_fields = LABEL_FIELDS | {"name", "targetName"}


def read_yaml(file: Path, example: str) -> dict[str, Any]:
    """The map in a file; empty where the file is. Raises ``CommandError``; ``example`` names keys that it may have."""
    try:
        values = yaml.load(file.read_bytes(), _Loader)  # noqa: S506 # a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or error
        raise CommandError(f"{file}{place}: {problem}", hint="correct the YAML and try again") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise CommandError(f"{file}: it must be a map of keys, such as {example}")
    return values


def read_metadata(folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """What the first of these files of a folder that is there holds; empty without any."""
    file = next((folder / name for name in names if (folder / name).is_file()), None)
    return {} if file is None else read_yaml(file, "name and description")
