"""Runtime parameters for the model's code.

The platform passes each parameter in `MLOPS_RUNTIME_PARAM_<NAME>` as a JSON object
`{"type": "string|boolean|numeric|credential|deployment", "payload": value}`. A JSON value of any other form is taken
as the value itself. Where the variable is missing (a model tried on a laptop), the file `.runtime-parameters.yaml`
(a map of names to values) in the code folder is asked, if PyYAML is installed.
Source: contract/supporting-endpoints.md C.6 and C.7.
"""

import importlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

PREFIX = "MLOPS_RUNTIME_PARAM_"
LOCAL_FILE = ".runtime-parameters.yaml"


class RuntimeParameters:
    """The values of a model's runtime parameters."""

    @classmethod
    def get(cls, name: str) -> Any:
        """The value of a parameter: str, bool, int or float, or a dict for a credential; None where it has none.

        Raises ValueError when no such parameter is set.
        """
        text = os.environ.get(PREFIX + name)
        if text is not None:
            return _value(name, text)
        local = _local_values()
        if name in local:
            return local[name]
        raise ValueError(
            f"runtime parameter {name!r} is not set: define it in model-metadata.yaml or set {PREFIX}{name}"
        )

    @classmethod
    def has(cls, name: str) -> bool:
        """Whether a parameter of that name is set."""
        return PREFIX + name in os.environ or name in _local_values()


def _value(name: str, text: str) -> Any:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{PREFIX}{name} does not hold JSON: {error}") from error
    if not (isinstance(content, dict) and content.keys() >= {"type", "payload"}):
        return content
    return _converted(content["type"], content["payload"])


def _converted(kind: object, payload: Any) -> Any:
    """A payload as the parameter's type, where an environment could only hold it as text."""
    if kind == "numeric" and isinstance(payload, str):
        return float(payload)
    if kind == "boolean" and isinstance(payload, str):
        return payload.strip().lower() in {"true", "1"}
    if kind in {"string", "deployment"} and payload is not None:
        return str(payload)
    return payload


def _local_values() -> dict[str, Any]:
    path = Path(os.environ.get("MODELYARD_CODE_DIR", ".")) / LOCAL_FILE
    if not path.is_file() or importlib.util.find_spec("yaml") is None:
        return {}
    content = importlib.import_module("yaml").safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
