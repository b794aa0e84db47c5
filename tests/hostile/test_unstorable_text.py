"""No text with a NUL or a lone surrogate gets in: asked of every text field of every operation there is.

The fields come from the wire types, so that a new one is asked, too.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from msgspec import inspect

from modelyard.app import endpoints
from modelyard.kernel.routing import Endpoint
from tests.api_client import Api
from tests.conftest import Installation
from tests.hostile.bodies import a_request, id_fields
from tests.hostile.estate import Estate, an_estate, fill, settle

ADMINISTRATION = ("/users/", "/groups/", "/organizations/", "/deletedDeployments/")
NUL = "a\0b"
JSON_TEXTS: dict[str, list[Any]] = {
    "classLabels": [[NUL]],
    "defaultEnvironment": [{"environmentId": NUL, "environmentVersionId": NUL}],
    "filePath": [[NUL]],
    "filesToDelete": [[NUL]],
    "gcpKey": [{NUL: "x"}, {"x": NUL}, {"x": {"y": [NUL]}}],
    "gitModelVersion": [{"commitUrl": "https://x.org/", "mainBranchCommitSha": "0" * 40, "refName": NUL}],
    "requiredMetadata": [{NUL: "x"}, {"x": NUL}],
    "requiredMetadataValues": [[{"fieldName": NUL, "value": "x"}], [{"fieldName": "x", "value": NUL}]],
    "resources": [{"resourceBundleId": NUL}],
    "runtimeParameterValues": [
        [{"fieldName": NUL, "type": "string", "value": "x"}],
        [{"fieldName": "x", "type": "string", "value": NUL}],
        '[{"fieldName": "\\ud800"}]',
    ],
    "runtimeParameters": [[{"fieldName": "x", "type": "string", "currentValue": NUL}]],
    "schedule": [{"minute": [NUL], "hour": ["*"], "dayOfMonth": ["*"], "month": ["*"], "dayOfWeek": ["*"]}],
    "subscription": [{"entityType": NUL, "events": [NUL]}],
    "tags": [[{"name": NUL, "value": "x"}], [{"name": "x", "value": NUL}]],
    "templateMetadata": [{"source": {"repositoryUrl": NUL}}, {"templateTypeSpecificResources": {NUL: NUL}}],
}
"""What fields of forms hold that are JSON in a text, with a NUL in it."""


@pytest.fixture
def anna(installation: Installation) -> Estate:
    estate = an_estate(installation, "anna", "acme")
    settle(installation)
    return estate


@pytest.fixture
def admin(installation: Installation) -> Api:
    return installation.api


def asked_by(endpoint: Endpoint, anna: Estate, admin: Api) -> Api:
    return admin if endpoint.path.startswith(ADMINISTRATION) else anna.api


def with_nul(info: inspect.Type) -> Iterator[Any]:
    """Values of a type, each with one text in it that holds a NUL: where any text may stand, and keys of objects."""
    match info:
        case inspect.Metadata(type=inner):
            yield from with_nul(inner)
        case inspect.StrType() | inspect.LiteralType():
            yield NUL
        case inspect.AnyType():
            yield from (NUL, [NUL], {NUL: 1}, {"x": [{"y": NUL}]})
        case inspect.ListType(item_type=item):
            yield from ([value] for value in with_nul(item))
        case inspect.DictType(value_type=value_type):
            yield {NUL: "x"}
            yield from ({"x": value} for value in with_nul(value_type))
        case inspect.StructType(fields=parts):
            for part in parts:
                yield from ({part.encode_name: value} for value in with_nul(part.type))
        case inspect.UnionType(types=types):
            for each in types:
                yield from with_nul(each)


def fields_of(type_: Any) -> list[tuple[str, list[Any]]]:
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    return [(part.encode_name, list(with_nul(part.type))) for part in info.fields]


def cases(endpoint: Endpoint, estate: Estate) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that are right but for one text, and the field that it is in."""
    type_ = endpoint.parameters.get("body") or endpoint.form_type
    if type_ is None:
        return
    required = {info.encode_name for info in msgspec.structs.fields(type_) if info.required}
    ids = {name: estate.id_at(name) for name in id_fields(endpoint) if name in required}
    for name, values in fields_of(type_):
        if "body" in endpoint.parameters:
            yield from ((name, a_request(endpoint, ids | {name: value})) for value in values)
        else:
            texts = [value for value in values if isinstance(value, str)]
            yield from (
                (name, a_request(endpoint, ids | {name: value})) for value in (*texts, *JSON_TEXTS.get(name, ()))
            )
            if endpoint.json_form:
                yield from ((name, {"json": {name: value}}) for value in values)
    if "body" in endpoint.parameters:
        yield "", a_request(endpoint, ids | {NUL: NUL})


def is_refused(name: str, status: int, text: str) -> bool:
    """With 400, or with 422 that names the field, or one in it."""
    if status != 422:
        return status == 400
    errors = json.loads(text).get("errors", {})
    return any(re.split(r"[.\[]", field)[0] in name or "NUL" in told for field, told in errors.items())


def test_no_field_of_a_body_or_form_takes_a_nul(anna: Estate, admin: Api) -> None:
    wrong, count = [], 0
    for endpoint in endpoints():
        api, path = asked_by(endpoint, anna, admin), fill(endpoint, anna) if "{" in endpoint.path else endpoint.path
        for name, request in cases(endpoint, anna):
            count += 1
            answer = api.request(endpoint.method, path, **request)
            if not is_refused(name, answer.status_code, answer.text):
                wrong.append((endpoint.method, endpoint.path, name, request, answer.status_code, answer.text[:200]))
    assert not wrong, f"{len(wrong)} of {count}\n" + "\n".join(map(str, wrong))
    assert count > 300


def test_no_field_of_a_query_takes_a_nul(anna: Estate, admin: Api) -> None:
    wrong, count = [], 0
    for endpoint in endpoints():
        api, path = asked_by(endpoint, anna, admin), fill(endpoint, anna) if "{" in endpoint.path else endpoint.path
        for field in msgspec.structs.fields(endpoint.parameters["query"]) if "query" in endpoint.parameters else ():
            count += 1
            answer = api.request(endpoint.method, f"{path}?{field.encode_name}={quote(NUL)}")
            refusal = 400 if 400 in endpoint.errors else 422
            if answer.status_code != refusal or field.encode_name not in answer.json()["errors"]:
                wrong.append((endpoint.method, endpoint.path, field.encode_name, answer.status_code, answer.text))
    assert not wrong, "\n".join(map(str, wrong))
    assert count > 100


SURROGATES: list[dict[str, Any]] = [
    {"content": b'{"name": "\\ud800", "label": "\\udc00"}', "headers": {"Content-Type": "application/json"}},
    {"content": b'{"name": "\xed\xa0\x80"}', "headers": {"Content-Type": "application/json"}},
    {"files": {"name": (None, b"+2AA-", "text/plain; charset=utf-7")}},
    {"files": {"name": (None, b"\\ud800", "text/plain; charset=unicode_escape")}},
    {"files": {"name": (None, b"x" * 100, "text/plain; charset=idna")}},
    {"files": {"name": (None, b"x-y", "text/plain; charset=punycode")}},
]


def test_no_lone_surrogate_gets_in(anna: Estate, admin: Api) -> None:
    wrong = []
    for endpoint in endpoints():
        if not endpoint.parameters.keys() & {"body", "form"}:
            continue
        api, path = asked_by(endpoint, anna, admin), fill(endpoint, anna) if "{" in endpoint.path else endpoint.path
        for request in SURROGATES:
            answer = api.request(endpoint.method, path, **request)
            if not 400 <= answer.status_code < 500:
                wrong.append((endpoint.method, endpoint.path, request, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))


FILE_NAMES = ("filename*=utf-8''a%00b.py", "filename*=utf-7''%2B2AA-.py", "filename*=idna''x..y")


def test_no_name_of_a_file_takes_one(anna: Estate) -> None:
    wrong = []
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    for endpoint in endpoints():
        if "form" not in endpoint.parameters:
            continue
        path = fill(endpoint, anna) if "{" in endpoint.path else endpoint.path
        for name in FILE_NAMES:
            part = f"--x\r\nContent-Disposition: form-data; name=file; {name}\r\n\r\nx = 1\r\n--x--\r\n"
            answer = anna.api.request(endpoint.method, path, content=part.encode(), headers=kind)
            if answer.status_code != 400:
                wrong.append((endpoint.method, endpoint.path, name, answer.status_code, answer.text[:200]))
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("depth", [400, 2_000, 20_000])
def test_a_nul_is_found_however_deep_it_is(admin: Api, depth: int) -> None:
    content = b'{"name": ' + b"[" * depth + b'"\\u0000"' + b"]" * depth + b"}"
    for path in ("/groups/", "/customJobs/", "/customModels/"):
        answer = admin.post(path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}, answer.text[:200]
