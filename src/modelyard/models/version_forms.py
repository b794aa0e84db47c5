"""The form of a version, multipart or JSON, brought into one shape before it is checked."""

from typing import TypeVar

from modelyard.environments.required_metadata import (
    OBJECT_FIELD,
    VALUES_FIELD,
    RequiredMetadataValue,
    one_of_both,
)
from modelyard.kernel.form_fields import FieldKinds
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.problems import Problems
from modelyard.kernel.wire import UNSET, Body, UnsetType, read_json_text
from modelyard.models.version_schemas import CustomModelVersionCreate, CustomModelVersionMetadataUpdate
from modelyard.storage.blobs import Blob

F = TypeVar("F", bound=Body)

KINDS = FieldKinds(
    nullable=frozenset(
        {
            "desiredMemory",
            "maximumMemory",
            "networkEgressPolicy",
            "replicas",
            "requiresHa",
            "resourceBundleId",
            "trainingData",
            "holdoutData",
            "runtimeParameterValues",
            "runtimeParameters",
        }
    ),
    json_text=frozenset(
        {
            "requiredMetadata",
            "requiredMetadataValues",
            "runtimeParameterValues",
            "runtimeParameters",
            "trainingData",
            "holdoutData",
        }
    ),
    objects=frozenset({"gitModelVersion"}),
    booleans=frozenset({"isMajorUpdate"}),
    left_out_when_empty=frozenset(
        {"baseEnvironmentId", "baseEnvironmentVersionId", "gitModelVersion", "isMajorUpdate"}
    ),
)


def read_version_form(form: FormInput[Blob], type_: type[F], *, is_major_by_default: str | None = None) -> F:
    """The form as ``type_``; what is wrong with its fields is in its ``faults``.

    ``is_major_by_default`` stands in for a missing ``isMajorUpdate``.
    """
    defaults = {} if is_major_by_default is None else {"isMajorUpdate": is_major_by_default}
    return KINDS.read(form, type_, defaults)


def required_metadata_of(body: CustomModelVersionCreate) -> dict[str, str] | None:
    """What the base environment asks for, sent as an object or as a list of fields; ``None`` when not sent."""
    by_name: dict[str, str] | UnsetType = UNSET
    listed: list[RequiredMetadataValue] | UnsetType = UNSET
    problems = Problems()
    if body.required_metadata is not UNSET and body.required_metadata:
        with problems.collecting():
            by_name = read_json_text(body.required_metadata, dict[str, str], OBJECT_FIELD)
    if body.required_metadata_values is not UNSET and body.required_metadata_values:
        with problems.collecting():
            listed = read_json_text(body.required_metadata_values, list[RequiredMetadataValue], VALUES_FIELD)
    problems.raise_all()
    return one_of_both(by_name, listed)


def changed_required_metadata(body: CustomModelVersionMetadataUpdate) -> dict[str, str] | None:
    return one_of_both(body.required_metadata, body.required_metadata_values)


def required_metadata_field(body: CustomModelVersionCreate | CustomModelVersionMetadataUpdate) -> str:
    """The one of the two fields that an error about the values is told under."""
    return OBJECT_FIELD if body.required_metadata and not body.required_metadata_values else VALUES_FIELD
