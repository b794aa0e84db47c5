"""``model-metadata.yaml``: what a folder says about its model or task, for the first push."""

from typing import Any

from modelyard.cli.errors import CommandError
from modelyard.cli.lookup import MODEL, TASK, Kind

NAMES = ("model-metadata.yaml", "model-metadata.yml", "metadata.yaml")
TARGET_TYPES = {
    name.lower(): name
    for name in ("Binary", "Regression", "Multiclass", "Anomaly", "Transform", "TextGeneration", "Unstructured")
}
NOT_OF_TASKS = {"TextGeneration", "Unstructured"}
_INFERENCE_FIELDS = ("targetName", "positiveClassLabel", "negativeClassLabel", "predictionThreshold", "classLabels")


def creation_of(kind: Kind, metadata: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The body that creates the model or task which the metadata describes."""
    _refuse_other_kind(kind, metadata)
    chosen = name or metadata.get("name")
    if not chosen:
        hint = f"add a name to {NAMES[0]}, or push with --{kind.noun} NAME"
        raise CommandError(f"the new {kind.noun} has no name", hint=hint)
    body: dict[str, Any] = {
        "name": str(chosen),
        "targetType": _target_type(kind, metadata, chosen),
        "description": str(metadata.get("description", "")),
    }
    return body if kind is TASK else body | _inference(metadata)


def _refuse_other_kind(kind: Kind, metadata: dict[str, Any]) -> None:
    other = {"training": TASK, "inference": MODEL}.get(str(metadata.get("type")).lower(), kind)
    if other is not kind:
        raise CommandError(
            f"{NAMES[0]} says type: {metadata['type']}, so this is a {other.noun} and not a {kind.noun}",
            hint=f"push it with: modelyard {other.noun} push",
        )


def _target_type(kind: Kind, metadata: dict[str, Any], name: str) -> str:
    known = {word: wire for word, wire in TARGET_TYPES.items() if kind is not TASK or wire not in NOT_OF_TASKS}
    wanted = str(metadata.get("targetType", "")).replace(" ", "").lower()
    if wanted not in known:
        said = f"{metadata['targetType']!r} is none" if wanted else "none is given"
        words = ", ".join(known)
        raise CommandError(
            f"the {kind.noun} {name!r} is new and needs a target type, but {said}",
            hint=f"add targetType to {NAMES[0]} ({words}), or make the {kind.noun} first: "
            f"modelyard {kind.noun} create --help",
        )
    return known[wanted]


def _inference(metadata: dict[str, Any]) -> dict[str, Any]:
    """What only models have."""
    body: dict[str, Any] = {"customModelType": "inference"}
    nested = metadata.get("inferenceModel")
    fields = (nested if isinstance(nested, dict) else {}) | {k: metadata[k] for k in _INFERENCE_FIELDS if k in metadata}
    for field in _INFERENCE_FIELDS:
        if fields.get(field) is not None:
            body[field] = _wire(field, fields[field])
    return body


def _wire(field: str, value: Any) -> Any:
    """A field as the API takes it: labels are texts, also those that the file's reader has left as other values."""
    if field == "predictionThreshold":
        return value
    if field == "classLabels":
        return [_label(each) for each in value] if isinstance(value, list) else value
    return _label(value)


def _label(value: Any) -> str:
    return "" if value is None else str(value)
