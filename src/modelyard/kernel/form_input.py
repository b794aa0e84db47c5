"""What a form endpoint is given: the same values and files, whether they came as multipart or as JSON."""

from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import fields

from modelyard.kernel.errors import Invalid, TooLarge
from modelyard.kernel.field_errors import takes_list
from modelyard.kernel.multipart import Form
from modelyard.kernel.wire import TOO_MANY_VALUES, convert, decode_body, has_too_many_values, text_errors

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


def from_form(form: Form[Stored], type_: type[msgspec.Struct] | None = None) -> FormInput[Stored]:
    """A multipart form. Of the fields of ``type_``, those that take one value must not be sent repeatedly."""
    collected: dict[str, list[str]] = defaultdict(list)
    for item in form.fields:
        collected[item.name].append(item.value)
    single = {info.encode_name for info in fields(type_) if not takes_list(info.type)} if type_ else set()
    repeated = {
        name: f"is sent {len(found)} times; send it once"
        for name, found in collected.items()
        if len(found) > 1 and name in single
    }
    values = {name: found if len(found) > 1 else found[0] for name, found in collected.items() if name not in repeated}
    prepared = _storable(values, form)
    prepared.faults.update(repeated)
    return prepared


def from_json(content: bytes) -> FormInput[Any]:
    if has_too_many_values(content):
        raise TooLarge(TOO_MANY_VALUES)
    values = decode_body(content)
    if not isinstance(values, dict):
        raise Invalid(f"the body must be a JSON object, not {type(values).__name__}")
    return _storable(values, Form(), is_json=True)


def _storable(values: dict[str, Any], form: Form[Stored], *, is_json: bool = False) -> FormInput[Stored]:
    faults = text_errors(values)
    readable = {name: value for name, value in values.items() if name not in faults}
    return FormInput(readable, form, is_json, faults)
