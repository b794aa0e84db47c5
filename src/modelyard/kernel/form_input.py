"""What a form endpoint is given: the same values and files, whether they came as multipart or as JSON."""

from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from modelyard.kernel.errors import BadRequest, Invalid, TooLarge
from modelyard.kernel.multipart import Form
from modelyard.kernel.wire import NOT_JSON, TOO_MANY_VALUES, convert, has_too_many_values, text_errors

S = TypeVar("S", bound=msgspec.Struct)
Stored = TypeVar("Stored")


@dataclass(frozen=True)
class FormInput(Generic[Stored]):
    """``values`` has a list where a name came repeatedly; ``form`` holds the stored files of a multipart body.

    ``faults`` gathers what cannot be read, by field: ``kernel.http`` refuses a form that has any, when the handler is
    done with what can.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    form: Form[Stored] = field(default_factory=Form)
    is_json: bool = False
    faults: MutableMapping[str, str] = field(default_factory=dict)

    def read(self, type_: type[S]) -> S:
        """The values as ``type_``, a ``Body``; text of a form is read as the number or boolean that is wanted."""
        return convert(type_, self.values, strict=self.is_json, faults=self.faults)


def from_form(form: Form[Stored]) -> FormInput[Stored]:
    collected: dict[str, list[str]] = defaultdict(list)
    for item in form.fields:
        collected[item.name].append(item.value)
    return _storable({name: found if len(found) > 1 else found[0] for name, found in collected.items()}, form)


def from_json(content: bytes) -> FormInput[Any]:
    if has_too_many_values(content):
        raise TooLarge(TOO_MANY_VALUES)
    try:
        values = msgspec.json.decode(content) if content.strip() else {}
    except NOT_JSON as error:
        raise BadRequest(f"the body is neither multipart/form-data nor valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise Invalid(f"the body must be a JSON object, not {type(values).__name__}")
    return _storable(values, Form(), is_json=True)


def _storable(values: dict[str, Any], form: Form[Stored], *, is_json: bool = False) -> FormInput[Stored]:
    faults = text_errors(values)
    readable = {name: value for name, value in values.items() if name not in faults}
    return FormInput(readable, form, is_json, faults)
