"""What the metadata file of a workspace defines: runtime parameters and, of a task, hyperparameters and its schema."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from modelyard.kernel.errors import Invalid, invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.hyperparameters import read_hyperparameters
from modelyard.workspaces.metadata_file import MAX_BYTES, read_metadata
from modelyard.workspaces.parameter_variables import RESERVED_NAMES, is_free
from modelyard.workspaces.runtime_parameters import read_definitions
from modelyard.workspaces.service import StoredFile
from modelyard.workspaces.type_schema import read_type_schema

T = TypeVar("T")


def read_parameter_definitions(
    blobs: BlobStore, file: StoredFile | None, *, are_plain: bool = False
) -> list[dict[str, object]]:
    """The runtime parameters that the YAML file defines; raises ``Invalid`` for ``file``, naming line and column.

    ``are_plain`` where each parameter has to reach the code under its own name: names that cannot be had are refused.
    """
    if file is None:
        return []
    definitions = parameter_definitions(read_metadata_file(blobs, file), file.path)
    taken = [name for one in definitions if not is_free(name := str(one["fieldName"]))]
    if are_plain and taken:
        raise invalid(
            file=f"{file.path}: fieldName {', '.join(map(repr, taken))}: a parameter becomes the environment variable "
            f"of its name, and these names are taken: {RESERVED_NAMES}"
        )
    return definitions


def read_metadata_file(blobs: BlobStore, file: StoredFile) -> dict[str, Any]:
    """The YAML file's mapping; raises ``Invalid`` for ``file``, naming line and column."""
    if file.size_bytes > MAX_BYTES:
        raise invalid(file=f"{file.path} has {file.size_bytes} bytes; at most {MAX_BYTES} are read")
    return _of_file(lambda: read_metadata(blobs.read(file.digest), file.path))


def parameter_definitions(metadata: dict[str, Any], file_name: str) -> list[dict[str, object]]:
    built: list[dict[str, object]] = msgspec.to_builtins(_of_file(lambda: read_definitions(metadata, file_name)))
    return built


def hyperparameters(metadata: dict[str, Any], file_name: str) -> list[dict[str, Any]]:
    built: list[dict[str, Any]] = msgspec.to_builtins(_of_file(lambda: read_hyperparameters(metadata, file_name)))
    return built


def type_schema(metadata: dict[str, Any], file_name: str, target_type: str) -> dict[str, Any] | None:
    found = _of_file(lambda: read_type_schema(metadata, file_name, target_type))
    built: dict[str, Any] | None = msgspec.to_builtins(found)
    return built


def _of_file(read: Callable[[], T]) -> T:
    """What ``read`` finds; its ``ValueError`` is a fault of the field ``file``."""
    try:
        return read()
    except ValueError as error:
        raise Invalid(str(error), {"file": str(error)}) from error
