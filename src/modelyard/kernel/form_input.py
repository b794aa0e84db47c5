"""What a form endpoint is given: the same values and files, whether they came as multipart or as JSON."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from modelyard.kernel.errors import BadRequest, Invalid
from modelyard.kernel.multipart import Form
from modelyard.kernel.wire import NOT_JSON, convert, refuse_nul

S = TypeVar("S", bound=msgspec.Struct)
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class FormInput(Generic[Stored]):
    """``values`` has a list where a name came repeatedly; ``form`` holds the stored files of a multipart body."""

    values: Mapping[str, Any] = field(default_factory=dict)
    form: Form[Stored] = field(default_factory=Form)
    is_json: bool = False

    def read(self, type_: type[S]) -> S:
        """The values as ``type_``; text of a form is read as the number or boolean that is wanted."""
        return convert(type_, self.values, strict=self.is_json)


def from_form(form: Form[Stored]) -> FormInput[Stored]:
    collected: dict[str, list[str]] = defaultdict(list)
    for item in form.fields:
        collected[item.name].append(item.value)
    return FormInput({name: found if len(found) > 1 else found[0] for name, found in collected.items()}, form)


def from_json(content: bytes) -> FormInput[Any]:
    try:
        values = msgspec.json.decode(content) if content.strip() else {}
    except NOT_JSON as error:
        raise BadRequest(f"the body is neither multipart/form-data nor valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise Invalid(f"the body must be a JSON object, not {type(values).__name__}")
    refuse_nul(values)
    return FormInput(values, Form(), is_json=True)
