"""What a model may be: rules across the fields of its target and its resources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from modelyard.compute.bundles import MODEL, default_bundle
from modelyard.kernel.errors import Invalid
from modelyard.kernel.settings import Settings
from modelyard.models.tables import CustomModelVersion
from modelyard.workspaces.runtime_parameters import Definition, ReferenceFault, Value, check_values

DEFAULT_POSITIVE_LABEL = "1"
DEFAULT_NEGATIVE_LABEL = "0"
DEFAULT_THRESHOLD = 0.5
INFERENCE_ONLY = frozenset({"TextGeneration", "Unstructured"})
NEEDS_TARGET_NAME = frozenset({"Binary", "Regression", "Multiclass", "TextGeneration"})

MEMORY = {"desired_memory": "desired_memory_bytes", "maximum_memory": "maximum_memory_bytes"}
MODEL_RESOURCES = MEMORY | {name: name for name in ("replicas", "requires_ha", "network_egress_policy")}
"""Fields of a model, with their columns, that hold for the versions that have none of their own."""
VERSION_RESOURCES = MODEL_RESOURCES | {"resource_bundle_id": "resource_bundle_id"}


@dataclass
class Target:
    """A model's target, complete with its defaults."""

    custom_model_type: str
    target_type: str
    target_name: str | None
    positive_class_label: str | None
    negative_class_label: str | None
    class_labels: Sequence[str] | None
    prediction_threshold: float | None


def target_type_of(
    target_type: str | None, supports_binary: bool | None, supports_regression: bool | None, *, is_inference: bool
) -> tuple[str, dict[str, str]]:
    """The target type that a new model has, and what is wrong with how it was said.

    Older clients say it by the ``supports…`` flags (seed 001, POST customModels).
    """
    if target_type is not None:
        errors = {}
        if is_inference and supports_binary and target_type != "Binary":
            errors["supportsBinaryClassification"] = f"cannot be true for the targetType {target_type}"
        if is_inference and supports_regression and target_type != "Regression":
            errors["supportsRegression"] = f"cannot be true for the targetType {target_type}"
        return target_type, errors
    if not supports_binary and not supports_regression:
        return "Regression", {"targetType": "is required, such as Binary or Regression"}
    if is_inference and supports_binary and supports_regression:
        return "Binary", {"targetType": "an inference model has one target type; choose Binary or Regression"}
    return ("Binary" if supports_binary else "Regression"), {}


def target_errors(target: Target) -> dict[str, str]:
    """Every field of the target that contradicts another one, and why."""
    return {**_type_errors(target), **_name_errors(target), **_label_errors(target), **_class_errors(target)}


def with_defaults(target: Target) -> Target:
    """A binary target without labels or threshold gets the documented ones: 1, 0 and 0.5."""
    if target.target_type == "Binary":
        if target.positive_class_label is None and target.negative_class_label is None:
            target.positive_class_label = DEFAULT_POSITIVE_LABEL
            target.negative_class_label = DEFAULT_NEGATIVE_LABEL
        if target.prediction_threshold is None:
            target.prediction_threshold = DEFAULT_THRESHOLD
    return target


def _type_errors(target: Target) -> dict[str, str]:
    if target.custom_model_type == "training" and target.target_type in INFERENCE_ONLY:
        return {"targetType": f"{target.target_type} is for models of the type inference only"}
    return {}


def _name_errors(target: Target) -> dict[str, str]:
    if target.custom_model_type == "training":
        return {"targetName": "cannot be set for a model of the type training"} if target.target_name else {}
    if target.target_type in NEEDS_TARGET_NAME and not (target.target_name or "").strip():
        return {"targetName": f"is required for an inference model of the targetType {target.target_type}"}
    return {}


def _label_errors(target: Target) -> dict[str, str]:
    labels = {
        "positiveClassLabel": target.positive_class_label,
        "negativeClassLabel": target.negative_class_label,
    }
    given = {field: label for field, label in labels.items() if label is not None}
    if given and target.target_type != "Binary":
        return dict.fromkeys(given, f"is only for the targetType Binary, not {target.target_type}")
    if len(given) == 1:
        (field,) = given
        (missing,) = labels.keys() - given.keys()
        return {missing: f"is required, because {field} is set to {given[field]!r}"}
    errors = {field: "must not be empty" for field, label in given.items() if not label}
    if given and not errors and len(set(given.values())) == 1:
        errors["negativeClassLabel"] = f"must differ from positiveClassLabel, both are {target.positive_class_label!r}"
    return errors


def _class_errors(target: Target) -> dict[str, str]:
    labels = target.class_labels or []
    if target.target_type != "Multiclass":
        return {"classLabels": f"are only for the targetType Multiclass, not {target.target_type}"} if labels else {}
    if target.custom_model_type == "training" and not labels:
        return {}  # the target that it is trained on has them
    if len(labels) < 2:
        return {"classLabels": f"a Multiclass model needs at least 2 class labels, not {len(labels)}"}
    if "" in labels:
        return {"classLabels": "must not hold an empty label"}
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    return {"classLabels": f"must be different, {', '.join(map(repr, repeated))} stands twice"} if repeated else {}


def resource_errors(values: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """What is wrong with resources (Python names to values, ``None`` for not set), by wire name."""
    errors: dict[str, str] = {}
    desired, maximum = values.get("desired_memory"), values.get("maximum_memory")
    for field, memory in (("desiredMemory", desired), ("maximumMemory", maximum)):
        if memory is not None and memory > settings.max_model_memory_bytes:
            errors[field] = f"{memory} is over this installation's maximum of {settings.max_model_memory_bytes} bytes"
    if desired is not None and maximum is not None and desired > maximum:
        errors["desiredMemory"] = f"{desired} is more than the maximumMemory of {maximum}"
    replicas = values.get("replicas")
    if replicas is not None and replicas > settings.max_model_replicas:
        errors["replicas"] = f"{replicas} is over this installation's maximum of {settings.max_model_replicas}"
    if values.get("resource_bundle_id") is not None:
        for field, memory in (("desiredMemory", desired), ("maximumMemory", maximum)):
            if memory is not None:
                errors[field] = "cannot be combined with resourceBundleId, which sets the memory"
    return errors


def overridden(inherited: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Put the resources that were sent over inherited ones. Memory and a bundle exclude each other, so what is sent of
    one leaves the other one that is inherited out."""
    kept = dict(inherited)
    if sent.get("resource_bundle_id") is not None:
        kept |= dict.fromkeys(MEMORY)
    if any(sent.get(name) is not None for name in MEMORY):
        kept["resource_bundle_id"] = None
    return kept | dict(sent)


def default_memory_bytes(settings: Settings) -> int:
    """The memory of a model that says nothing: what the setting says, else the default bundle's."""
    bundle = default_bundle(settings, MODEL)
    if bundle is None or "default_model_memory_bytes" in settings.model_fields_set:
        return settings.model_memory_bytes()
    return min(bundle.memory_bytes, settings.max_model_memory_bytes)


def reference_errors(version: CustomModelVersion, field: str, reference_fault: ReferenceFault) -> dict[str, str]:
    """What a version's runtime parameters name and the caller may not use, under ``field``.

    Who has a version run decides where and in what: they could read what it is given.
    """
    definitions = msgspec.convert(version.parameter_definitions, list[Definition])
    values = msgspec.convert(version.parameter_values, list[Value])
    try:
        check_values(definitions, [], field, reference_fault, inherited=values)
    except Invalid as error:
        return error.errors
    return {}
