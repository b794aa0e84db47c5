"""Forms that may come as multipart or as JSON, brought into one shape before they are checked.

Multipart sends objects as JSON text and null as ``null`` or nothing; JSON bodies send objects and booleans as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from modelyard.kernel.errors import Invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.wire import UNSET, convert, read_json_text

F = TypeVar("F", bound=msgspec.Struct)
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class FieldKinds:
    """Wire names of fields that are not plain text.

    ``nullable`` ones may be null; ``json_text`` are documented as text that holds JSON, and taken as lists or objects
    as well; ``objects`` and ``booleans`` (documented as the texts true and false) the other way round;
    ``left_out_when_empty`` counts as not sent when it is empty.
    """

    nullable: frozenset[str] = frozenset()
    json_text: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()
    booleans: frozenset[str] = frozenset()
    left_out_when_empty: frozenset[str] = frozenset()

    def read(self, form: FormInput[Any], type_: type[F], defaults: Mapping[str, str] = _NOTHING) -> F:
        """The form as ``type_``, a ``Body``; what is wrong with its fields is in its ``faults``."""
        values: dict[str, Any] = {}
        for name, value in form.values.items():
            try:
                prepared = self._prepared(name, value, is_json=form.is_json)
            except Invalid as error:
                form.faults.update(error.errors)
                continue
            if prepared is not UNSET:
                values[name] = prepared
        for name, default in defaults.items():
            values.setdefault(name, default)
        return convert(type_, values, strict=form.is_json, faults=form.faults)

    def _prepared(self, name: str, value: Any, *, is_json: bool) -> Any:
        if name in self.left_out_when_empty and value == "":
            return UNSET
        if name in self.nullable and not is_json and value in {"", "null"}:
            return None
        if name in self.booleans and isinstance(value, bool):
            return "true" if value else "false"
        if name in self.objects and isinstance(value, str):
            return read_json_text(value, Any, name)
        if name in self.json_text and isinstance(value, dict | list):
            return msgspec.json.encode(value).decode()
        return value
