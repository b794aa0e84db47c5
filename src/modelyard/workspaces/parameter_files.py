"""The runtime parameters that the metadata file of a workspace defines."""

import msgspec

from modelyard.kernel.errors import Invalid, invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.metadata_file import MAX_BYTES, read_metadata
from modelyard.workspaces.parameter_variables import RESERVED_NAMES, is_free
from modelyard.workspaces.runtime_parameters import read_definitions
from modelyard.workspaces.service import StoredFile


def read_parameter_definitions(
    blobs: BlobStore, file: StoredFile | None, *, are_plain: bool = False
) -> list[dict[str, object]]:
    """What the YAML file defines; raises ``Invalid`` for ``file``, naming line and column.

    ``are_plain`` where each parameter has to reach the code under its own name: names that cannot be had are refused.
    """
    if file is None:
        return []
    if file.size_bytes > MAX_BYTES:
        raise invalid(file=f"{file.path} has {file.size_bytes} bytes; at most {MAX_BYTES} are read")
    try:
        definitions = read_definitions(read_metadata(blobs.read(file.digest), file.path), file.path)
    except ValueError as error:
        raise Invalid(str(error), {"file": str(error)}) from error
    taken = [one.field_name for one in definitions if not is_free(one.field_name)]
    if are_plain and taken:
        raise invalid(
            file=f"{file.path}: fieldName {', '.join(map(repr, taken))}: a parameter becomes the environment variable "
            f"of its name, and these names are taken: {RESERVED_NAMES}"
        )
    built: list[dict[str, object]] = msgspec.to_builtins(definitions)
    return built
