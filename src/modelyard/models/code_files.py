"""What the files of a version say about it: ``requirements.txt`` and ``model-metadata.yaml``."""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.environments.requirements import RequirementsError, parse_requirements
from modelyard.kernel.errors import Invalid
from modelyard.kernel.problems import Problems
from modelyard.kernel.texts import decoded
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.version_schemas import DependencyConstraint, DependencyResponse
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.parameter_files import (
    hyperparameters,
    parameter_definitions,
    read_metadata_file,
    type_schema,
)
from modelyard.workspaces.service import StoredFile

REQUIREMENTS_FILE = "requirements.txt"
METADATA_FILE = "model-metadata.yaml"
MAX_REQUIREMENTS_BYTES = 1024 * 1024


def read_code_files(
    version: CustomModelVersion,
    model: CustomModel,
    blobs: BlobStore,
    base: CustomModelVersion | None,
    files: Sequence[StoredFile],
    uploaded: set[str],
    problems: Problems,
) -> None:
    """Reads the files that speak about the version; what did not change is not read again."""
    found = {file.path: file for file in files if file.path in {REQUIREMENTS_FILE, METADATA_FILE}}
    version.dependencies = version.parameter_definitions = version.hyperparameters = []
    version.type_schema = None
    if base is not None and REQUIREMENTS_FILE in found and REQUIREMENTS_FILE not in uploaded:
        version.dependencies = base.dependencies
    else:
        with problems.collecting():
            version.dependencies = read_dependencies(blobs, found.get(REQUIREMENTS_FILE))
    if base is not None and METADATA_FILE in found and METADATA_FILE not in uploaded:
        version.parameter_definitions = base.parameter_definitions
        version.hyperparameters, version.type_schema = base.hyperparameters, base.type_schema
    elif METADATA_FILE in found:
        with problems.collecting():
            _read_metadata(version, model, blobs, found[METADATA_FILE], problems)


def _read_metadata(
    version: CustomModelVersion, model: CustomModel, blobs: BlobStore, file: StoredFile, problems: Problems
) -> None:
    metadata = read_metadata_file(blobs, file)
    with problems.collecting():
        version.parameter_definitions = parameter_definitions(metadata, file.path)
    if model.custom_model_type != "training":
        return
    with problems.collecting():
        version.hyperparameters = hyperparameters(metadata, file.path)
    with problems.collecting():
        version.type_schema = type_schema(metadata, file.path, model.target_type)


def read_dependencies(blobs: BlobStore, file: StoredFile | None) -> list[dict[str, object]]:
    """The wire form of each dependency of ``requirements.txt``.

    Raises ``Invalid`` with every wrong line, and with ``dependencies`` (what could be read) and
    ``invalidDependencies`` beside the message (seed 001, POST versions, 422).
    """
    if file is None:
        return []
    if file.size_bytes > MAX_REQUIREMENTS_BYTES:
        raise _wrong_file(f"{REQUIREMENTS_FILE} has {file.size_bytes} bytes; at most {MAX_REQUIREMENTS_BYTES} are read")
    content = blobs.read(file.digest)
    try:
        return _wire(content)
    except RequirementsError as error:
        invalid_lines = [
            {"line": line, "lineNumber": number, "message": reason} for number, line, reason in error.errors
        ]
        raise _wrong_file(
            f"{REQUIREMENTS_FILE} cannot be read: {error}",
            dependencies=_readable(content, error),
            invalidDependencies=invalid_lines,
        ) from error


def _wire(content: bytes | str) -> list[dict[str, object]]:
    return [
        msgspec.to_builtins(
            DependencyResponse(
                package_name=dependency.package_name,
                constraints=[
                    DependencyConstraint(
                        constraint_type=constraint.operator,  # type: ignore[arg-type] # of the enum by its parser
                        version=constraint.version,
                    )
                    for constraint in dependency.constraints
                ],
                extras=dependency.extras,
                line=dependency.line,
                line_number=dependency.line_number,
            )
        )
        for dependency in parse_requirements(content).dependencies
    ]


def _readable(content: bytes, error: RequirementsError) -> list[dict[str, object]]:
    """The dependencies of the lines that are not wrong."""
    lines = decoded(content, "replace").splitlines()
    for number, text, _ in error.errors:
        for index in range(number - 1, min(len(lines), number + text.count("\n"))):
            lines[index] = ""
    try:
        return _wire("\n".join(lines))
    except RequirementsError:
        return []


def _wrong_file(text: str, **extra: Any) -> Invalid:
    return Invalid(text, {"file": text}, extra=extra)
