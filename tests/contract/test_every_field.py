"""Of every field of every request: numbers beyond 64 bits, what is sent twice, null where it is not taken."""

from collections.abc import Callable, Iterator
from datetime import datetime
from types import NoneType
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import fields

from modelyard.app import endpoints
from modelyard.kernel.field_errors import takes_list
from modelyard.kernel.form_input import from_form, from_json
from modelyard.kernel.multipart import Form, FormField
from modelyard.kernel.numbers import MAX_INTEGER, MIN_INTEGER
from modelyard.kernel.routing import Endpoint
from modelyard.kernel.wire import decode
from tests.conftest import Installation
from tests.contract.inventory import Inventory, fill

HUGE = 99_999_999_999_999_999_999_999


def types_in(hint: Any) -> Iterator[Any]:
    """The types that a hint is made of, without their limits."""
    parts = get_args(hint)
    if parts and hasattr(hint, "__metadata__"):
        yield from types_in(parts[0])
    elif parts:
        for part in parts:
            yield from types_in(part)
    else:
        yield hint


def queries() -> Iterator[tuple[Endpoint, str, Any]]:
    for endpoint in endpoints():
        if "query" in endpoint.parameters:
            for info in fields(endpoint.parameters["query"]):
                yield endpoint, info.encode_name, info.type


def sent_types() -> Iterator[tuple[Endpoint, type[msgspec.Struct]]]:
    for endpoint in endpoints():
        type_ = endpoint.form_type or endpoint.parameters.get("body")
        if type_ is not None:
            yield endpoint, type_


@pytest.fixture
def inventory(installation: Installation) -> Inventory:
    return fill(installation)


def refusal(endpoint: Endpoint) -> int:
    """What a wrong query is answered with."""
    return 400 if 400 in endpoint.errors else 422


def test_numbers_beyond_64_bits_in_queries(inventory: Inventory) -> None:
    """Each parameter that is a number, of each operation."""
    wrong, checked = [], 0
    for endpoint, name, hint in queries():
        if int not in types_in(hint):
            continue
        for number in (HUGE, -HUGE, MAX_INTEGER + 1):
            answer = inventory.api.request(endpoint.method, f"{inventory.path(endpoint)}?{name}={number}")
            checked += 1
            if answer.status_code != refusal(endpoint) or name not in answer.json()["errors"]:
                wrong.append((endpoint.name, name, answer.status_code, answer.text[:200]))
    assert checked > 100
    assert not wrong


def test_numbers_of_64_bits_in_queries_are_compared(
    an_installation: Callable[..., Installation], each_database: str
) -> None:
    """No column is narrower than what a filter may be."""
    api = an_installation(database_url=each_database).api
    wrong = []
    for endpoint, name, hint in queries():
        if int not in types_in(hint) or "{" in endpoint.path:
            continue
        for number in (MAX_INTEGER, MIN_INTEGER, 2**40):
            answer = api.request(endpoint.method, f"{endpoint.path}?{name}={number}")
            if answer.status_code >= 500:
                wrong.append((endpoint.name, name, answer.status_code, answer.text[:200]))
    assert not wrong


def test_numbers_beyond_64_bits_in_bodies() -> None:
    """Each field that is a number, and what is no number at all in fields of any type."""
    wrong, checked = [], 0
    for endpoint, type_ in sent_types():
        for info in fields(type_):
            if int not in types_in(info.type):
                continue
            checked += 1
            content = b'{"%s": %d}' % (info.encode_name.encode(), HUGE)
            errors: dict[str, str] = {}
            decode(type_, content, errors)
            as_form = from_json(content)
            as_form.read(type_)
            text = from_form(Form((FormField(info.encode_name, str(HUGE)),)), type_)
            text.read(type_)
            if not all(info.encode_name in found for found in (errors, as_form.faults, text.faults)):
                wrong.append((endpoint.name, info.encode_name))
    assert checked > 20
    assert not wrong


def test_no_field_is_sent_twice_that_takes_one_value(inventory: Inventory) -> None:
    """Each field of each form: those that may be null were looked up in a set, which no list can be."""
    wrong, checked = [], 0
    for endpoint in endpoints():
        if endpoint.form_type is None:
            continue
        for info in fields(endpoint.form_type):
            if takes_list(info.type):
                continue
            checked += 1
            twice = [(info.encode_name, (None, b"1"))] * 2
            answer = inventory.api.request(endpoint.method, inventory.path(endpoint), files=twice)
            errors = answer.json().get("errors", {}) if answer.status_code == 422 else {}
            if not errors.get(info.encode_name, "").startswith("is sent 2 times"):
                wrong.append((endpoint.name, info.encode_name, answer.status_code, answer.text[:200]))
    assert checked > 60
    assert not wrong


def test_null_is_no_value_of_a_query(inventory: Inventory) -> None:
    """The text null is none where it is not text that is asked for."""
    wrong, checked = [], 0
    for endpoint, name, hint in queries():
        types = set(types_in(hint))
        if str in types or takes_list(hint):
            continue
        checked += 1
        answer = inventory.api.request(endpoint.method, f"{inventory.path(endpoint)}?{name}=null")
        if answer.status_code != refusal(endpoint) or name not in answer.json()["errors"]:
            wrong.append((endpoint.name, name, answer.status_code, answer.text[:200]))
    assert checked > 100
    assert not wrong


def test_times_at_the_ends_of_the_calendar(inventory: Inventory) -> None:
    """No time is read that cannot be moved to another zone."""
    wrong, checked = [], 0
    for endpoint, name, hint in queries():
        if datetime not in types_in(hint):
            continue
        for time in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00", str(HUGE), "1000-01-01T00:00:00"):
            checked += 1
            answer = inventory.api.request(endpoint.method, f"{inventory.path(endpoint)}?{name}={time}")
            if answer.status_code >= 500 or (time[:4] != "1000" and answer.status_code != 422):
                wrong.append((endpoint.name, name, time, answer.status_code, answer.text[:200]))
    assert checked > 10
    assert not wrong
    answer = inventory.api.post("/apiTokens/", json={"name": "x", "expiresAt": "9999-12-31T23:59:59-14:00"})
    assert set(answer.json()["errors"]) == {"expiresAt"}, answer.text


def forms_with_fields() -> Iterator[tuple[Endpoint, str, Any]]:
    for endpoint in endpoints():
        if endpoint.form_type is not None:
            for info in fields(endpoint.form_type):
                yield endpoint, info.encode_name, info.type


def test_every_field_of_a_form_is_read(inventory: Inventory) -> None:
    """What is neither a number nor one of the words nor JSON is refused where one of these is documented."""
    wrong, checked = [], 0
    for endpoint, name, hint in forms_with_fields():
        if str in types_in(hint):
            continue
        checked += 1
        answer = inventory.api.request(endpoint.method, inventory.path(endpoint), files=[(name, (None, b"?!"))])
        if answer.status_code != 422 or name not in answer.json()["errors"]:
            wrong.append((endpoint.name, name, answer.status_code, answer.text[:200]))
    assert checked > 30
    assert not wrong


def test_null_is_refused_in_forms_where_it_is_not_documented(inventory: Inventory) -> None:
    """As JSON, which some of the forms may be sent as."""
    wrong, checked = [], 0
    for endpoint, name, hint in forms_with_fields():
        if not endpoint.json_form or NoneType in types_in(hint):
            continue
        checked += 1
        answer = inventory.api.request(endpoint.method, inventory.path(endpoint), json={name: None})
        if answer.status_code != 422 or name not in answer.json()["errors"]:
            wrong.append((endpoint.name, name, answer.status_code, answer.text[:200]))
    assert checked > 30
    assert not wrong


def test_the_lines_of_a_log_have_to_be_a_number(inventory: Inventory) -> None:
    path = f"/customModelTests/{inventory.ids['customModelTestId']}/tail/"
    assert inventory.api.get(f"{path}?lines=1").status_code == 200
    for query in ("", "?lines=", "?lines=0", "?lines=1001", "?lines=x", f"?lines={'9' * 5000}", "?lines=%D9%A1"):
        answer = inventory.api.get(path + query)
        assert answer.status_code == 400, query
        assert answer.json()["message"].startswith("lines ")
