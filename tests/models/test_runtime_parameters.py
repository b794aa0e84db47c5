"""Runtime parameters of versions: defined in model-metadata.yaml, set in the v1 and v2 forms."""

import json
from typing import Any

import pytest

from tests.api_client import Api
from tests.models.builders import a_model, a_next_version, a_version, item_ids, patch_version, post_version

METADATA = b"""
name: x
runtimeParameterDefinitions:
  - fieldName: GREETING
    type: string
    defaultValue: hello
    description: what to say
  - fieldName: COUNT
    type: numeric
    defaultValue: 3
    minValue: 1
    maxValue: 5.5
    allowEmpty: false
  - fieldName: LOUD
    type: boolean
    defaultValue: false
  - fieldName: KEY
    type: credential
    credentialType: api_token
  - fieldName: OTHER
    type: deployment
"""
FILE = {"model-metadata.yaml": METADATA}


@pytest.fixture
def model_id(api: Api) -> str:
    return str(a_model(api)["id"])


def test_definitions_become_parameters(api: Api, model_id: str) -> None:
    parameters = a_version(api, model_id, FILE)["runtimeParameters"]
    empty = {"minValue": None, "maxValue": None, "credentialType": None, "allowEmpty": True, "description": None}
    assert parameters == [
        {
            **empty,
            "fieldName": "GREETING",
            "type": "string",
            "defaultValue": "hello",
            "currentValue": "hello",
            "description": "what to say",
        },
        {
            **empty,
            "fieldName": "COUNT",
            "type": "numeric",
            "defaultValue": 3,
            "currentValue": 3,
            "minValue": 1,
            "maxValue": 5.5,
            "allowEmpty": False,
        },
        {**empty, "fieldName": "LOUD", "type": "boolean", "defaultValue": False, "currentValue": False},
        {**empty, "fieldName": "KEY", "type": "credential", "credentialType": "apiToken"},
        {**empty, "fieldName": "OTHER", "type": "deployment"},
    ]


def test_v1_values_merge_and_null_clears(api: Api, model_id: str) -> None:
    a_version(api, model_id, FILE)
    first = a_next_version(api, model_id, runtimeParameterValues=_v1(GREETING=("string", "hi"), COUNT=("numeric", 2.5)))
    assert _set(first) == {"GREETING": "hi", "COUNT": 2.5}
    second = a_next_version(
        api, model_id, runtimeParameterValues=_v1(LOUD=("boolean", True), GREETING=("string", None))
    )
    assert _set(second) == {"COUNT": 2.5, "LOUD": True}
    assert _current(second)["GREETING"] == "hello"
    assert _set(a_next_version(api, model_id, {"a": b"1"})) == {"COUNT": 2.5, "LOUD": True}


def test_v2_values_replace(api: Api, model_id: str) -> None:
    a_version(api, model_id, FILE, runtimeParameterValues=_v1(GREETING=("string", "hi"), LOUD=("boolean", "true")))
    wanted = [{"fieldName": "COUNT", "type": "numeric", "currentValue": "4"}]
    body = {"runtimeParameters": json.dumps(wanted), "isMajorUpdate": "false", "resourceBundleId": None}
    made = api.patch(f"/customModels/{model_id}/versions/", json=body)
    assert _set(made.json()) == {"COUNT": 4}
    emptied = api.patch(f"/customModels/{model_id}/versions/", json={"runtimeParameters": []})
    assert _set(emptied.json()) == {}


def test_a_parameter_of_the_clients_own_survives_new_files(api: Api, model_id: str) -> None:
    version = a_version(api, model_id, FILE, runtimeParameterValues=_v1(OWN=("string", "x"), GREETING=("string", "hi")))
    assert _set(version) == {"OWN": "x", "GREETING": "hi"}
    fewer = b"runtimeParameterDefinitions:\n  - {fieldName: NEW, type: string}\n"
    after = a_next_version(api, model_id, {"model-metadata.yaml": fewer})
    assert [parameter["fieldName"] for parameter in after["runtimeParameters"]] == ["NEW", "OWN", "GREETING"]
    assert _set(after) == {"OWN": "x", "GREETING": "hi"}
    cleared = a_next_version(api, model_id, runtimeParameterValues=_v1(OWN=("string", None)))
    assert "OWN" not in _set(cleared)
    without_file = a_next_version(api, model_id, filesToDelete=item_ids(cleared)["model-metadata.yaml"])
    assert _current(without_file) == {"GREETING": "hi"}


def test_a_version_from_scratch_forgets_the_values(api: Api, model_id: str) -> None:
    a_version(api, model_id, FILE, runtimeParameterValues=_v1(GREETING=("string", "hi")))
    assert _set(a_version(api, model_id, FILE)) == {}


def test_a_value_that_no_longer_fits_is_named(api: Api, model_id: str) -> None:
    a_version(api, model_id, FILE, runtimeParameterValues=_v1(GREETING=("string", "hi")))
    other = {"model-metadata.yaml": METADATA.replace(b"type: string\n    defaultValue: hello", b"type: numeric")}
    refused = patch_version(api, model_id, other)
    assert "GREETING" in refused.json()["errors"]["runtimeParameterValues"]
    made = a_next_version(api, model_id, other, runtimeParameterValues=_v1(GREETING=("numeric", None)))
    assert "GREETING" not in _set(made)


WRONG_VALUES = [
    ("nonsense", "JSON list"),
    ('{"fieldName": "COUNT"}', "array"),
    ('[{"fieldName": "COUNT", "type": "numeric"}]', "value"),
    ('[{"fieldName": "COUNT", "type": "number", "value": 1}]', "number"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": [1]}]', "array"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": 0}]', "below minValue 1"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": 6}]', "above maxValue 5.5"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": "many"}]', "finite number"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": "nan"}]', "finite number"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": "inf"}]', "finite number"),
    ('[{"fieldName": "COUNT", "type": "numeric", "value": true}]', "finite number"),
    ('[{"fieldName": "COUNT", "type": "string", "value": "1"}]', "COUNT: is numeric by its definition"),
    ('[{"fieldName": "LOUD", "type": "boolean", "value": "yes"}]', "true or false"),
    ('[{"fieldName": "GREETING", "type": "string", "value": 5}]', "must be text"),
    ('[{"fieldName": "KEY", "type": "credential", "value": "abc"}]', "no credential 'abc'"),
    ('[{"fieldName": "a b", "type": "string", "value": "x"}]', "letters, digits"),
    ('[{"fieldName": "A=B", "type": "string", "value": "x"}]', "letters, digits"),
    (json.dumps([{"fieldName": "X", "type": "string", "value": "x"}] * 2), "twice"),
    (json.dumps([{"fieldName": "X", "type": "string", "value": "x" * 4097}]), "4097 characters"),
    (json.dumps([{"fieldName": f"X{n}", "type": "string", "value": ""} for n in range(101)]), "100"),
    (json.dumps([{"fieldName": f"X{n}", "type": "string", "value": ""} for n in range(96)]), "at most 100"),
]


def test_a_wrong_value_is_refused(api: Api, model_id: str) -> None:
    a_version(api, model_id, FILE)
    for value, told in WRONG_VALUES:
        refused = patch_version(api, model_id, runtimeParameterValues=value)
        assert refused.status_code == 422, value
        assert told in refused.json()["errors"]["runtimeParameterValues"], value
    assert api.get(f"/customModels/{model_id}/versions/").json()["totalCount"] == 1


def test_v1_and_v2_exclude_each_other(api: Api, model_id: str) -> None:
    refused = patch_version(api, model_id, runtimeParameterValues=_v1(A=("string", "x")), runtimeParameters="[]")
    assert set(refused.json()["errors"]) == {"runtimeParameters"}


WRONG_DEFINITIONS = [
    ("{type: string}", "fieldName"),
    ("{fieldName: 1A, type: string}", "fieldName"),
    ("{fieldName: A}", "type must be one of"),
    ("{fieldName: A, type: text}", "type must be one of"),
    ("{fieldName: A, type: numeric, minValue: low}", "minValue must be a number"),
    ("{fieldName: A, type: numeric, minValue: 5, maxValue: 1}", "minValue 5 is above maxValue 1"),
    ("{fieldName: A, type: numeric, minValue: .inf}", "finite"),
    ("{fieldName: A, type: numeric, maxValue: 1, defaultValue: 2}", "defaultValue 2 is above maxValue 1"),
    ("{fieldName: A, type: numeric, defaultValue: text}", "defaultValue must be a finite number"),
    ("{fieldName: A, type: numeric, defaultValue: .nan}", "defaultValue must be a finite number"),
    ("{fieldName: A, type: boolean, defaultValue: 1}", "defaultValue must be true or false"),
    ("{fieldName: A, type: string, defaultValue: 2020-01-01}", "put it in quotes"),
    ("{fieldName: A, type: string, defaultValue: yes}", "put it in quotes"),
    ("{fieldName: A, type: string, minValue: 1}", "for numeric parameters"),
    ("{fieldName: A, type: string, credentialType: basic}", "credentialType is for credentials"),
    ("{fieldName: A, type: credential, credentialType: magic}", "credentialType must be one of"),
    ("{fieldName: A, type: credential, defaultValue: 5}", "put it in quotes"),
    ("{fieldName: A, type: string, allowEmpty: 'no'}", "allowEmpty must be true or false"),
    ("{fieldName: A, type: string, description: [x]}", "description must be text"),
    ("just text", "must be a mapping"),
    ("{fieldName: FINE, type: string}", "defined twice"),
]


def test_a_wrong_definition_is_refused(api: Api, model_id: str) -> None:
    for definition, told in WRONG_DEFINITIONS:
        text = f"runtimeParameterDefinitions:\n  - {{fieldName: FINE, type: string}}\n  - {definition}\n"
        refused = post_version(api, model_id, {"model-metadata.yaml": text.encode()})
        assert refused.status_code == 422, definition
        assert told in refused.json()["message"], definition
        assert "runtimeParameterDefinitions[1]" in refused.json()["message"], definition


def test_definitions_must_be_a_list_of_at_most_a_hundred(api: Api, model_id: str) -> None:
    many = "".join(f"  - {{fieldName: A{n}, type: string}}\n" for n in range(101))
    for text in ("runtimeParameterDefinitions: {A: 1}", f"runtimeParameterDefinitions:\n{many}"):
        assert post_version(api, model_id, {"model-metadata.yaml": text.encode()}).status_code == 422


def _v1(**values: tuple[str, Any]) -> str:
    return json.dumps([{"fieldName": name, "type": kind, "value": value} for name, (kind, value) in values.items()])


def _set(version: dict[str, Any]) -> dict[str, Any]:
    return {p["fieldName"]: p["overrideValue"] for p in version["runtimeParameters"] if "overrideValue" in p}


def _current(version: dict[str, Any]) -> dict[str, Any]:
    return {p["fieldName"]: p["currentValue"] for p in version["runtimeParameters"] if "currentValue" in p}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (r'"\ud800"', "characters that no text has"),
        (r'"a\0b"', "characters that no text has"),
        ("1" + "0" * 30, "a whole number of more than 64 bits"),
        ("1" + "0" * 400, "a whole number of more than 64 bits"),
        ("1" + "0" * 5000, "cannot be read"),
    ],
)
def test_values_that_nobody_could_store_are_refused(api: Api, model_id: str, value: str, told: str) -> None:
    metadata = f"runtimeParameterDefinitions: [{{fieldName: A, type: numeric, defaultValue: {value}}}]"
    answer = post_version(api, model_id, {"model-metadata.yaml": metadata.encode()})
    assert answer.status_code == 422
    assert told in answer.json()["errors"]["file"]
