"""The runtime parameters that the metadata file of a workspace defines."""

import msgspec

from modelyard.kernel.errors import Invalid, invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.metadata_file import MAX_BYTES, read_metadata
from modelyard.workspaces.runtime_parameters import read_definitions
from modelyard.workspaces.service import StoredFile


def read_parameter_definitions(blobs: BlobStore, file: StoredFile | None) -> list[dict[str, object]]:
    """What the YAML file defines; raises ``Invalid`` for ``file``, naming line and column."""
    if file is None:
        return []
    if file.size_bytes > MAX_BYTES:
        raise invalid(file=f"{file.path} has {file.size_bytes} bytes; at most {MAX_BYTES} are read")
    try:
        definitions = read_definitions(read_metadata(blobs.read(file.digest), file.path), file.path)
    except ValueError as error:
        raise Invalid(str(error), {"file": str(error)}) from error
    built: list[dict[str, object]] = msgspec.to_builtins(definitions)
    return built
