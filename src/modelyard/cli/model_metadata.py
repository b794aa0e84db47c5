"""``model-metadata.yaml``: what a folder says about its model, for the first push."""

from typing import Any

from modelyard.cli.errors import CommandError

NAMES = ("model-metadata.yaml", "model-metadata.yml", "metadata.yaml")
TARGET_TYPES = {
    name.lower(): name
    for name in ("Binary", "Regression", "Multiclass", "Anomaly", "Transform", "TextGeneration", "Unstructured")
}
_INFERENCE_FIELDS = ("targetName", "positiveClassLabel", "negativeClassLabel", "predictionThreshold", "classLabels")


def creation_of(metadata: dict[str, Any], name: str | None) -> dict[str, Any]:
    """The body that creates the model which the metadata describes."""
    chosen = name or metadata.get("name")
    if not chosen:
        raise CommandError("the new model has no name", hint=f"add a name to {NAMES[0]}, or push with --model NAME")
    wanted = str(metadata.get("targetType", "")).replace(" ", "").lower()
    if wanted not in TARGET_TYPES:
        said = f"{metadata['targetType']!r} is none" if wanted else "none is given"
        known = ", ".join(TARGET_TYPES)
        raise CommandError(
            f"the model {chosen!r} is new and needs a target type, but {said}",
            hint=f"add targetType to {NAMES[0]} ({known}), or make the model first: modelyard model create --help",
        )
    body: dict[str, Any] = {
        "name": str(chosen),
        "customModelType": "inference",
        "targetType": TARGET_TYPES[wanted],
        "description": str(metadata.get("description", "")),
    }
    nested = metadata.get("inferenceModel")
    fields = (nested if isinstance(nested, dict) else {}) | {k: metadata[k] for k in _INFERENCE_FIELDS if k in metadata}
    for field in _INFERENCE_FIELDS:
        if fields.get(field) is not None:
            body[field] = _wire(field, fields[field])
    return body


def _wire(field: str, value: Any) -> Any:
    """YAML reads labels such as ``1`` or ``true`` as other things than text; on the wire they are text."""
    if field == "predictionThreshold":
        return value
    if field == "classLabels":
        return [_label(each) for each in value] if isinstance(value, list) else value
    return _label(value)


def _label(value: Any) -> str:
    return {True: "True", False: "False"}[value] if isinstance(value, bool) else str(value)
