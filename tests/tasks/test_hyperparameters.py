"""Hyperparameters: what a metadata file may define, and what a training may set."""

from typing import Any

import pytest
import yaml

from modelyard.workspaces.hyperparameters import check_parameters, read_hyperparameters
from modelyard.workspaces.metadata_file import read_metadata
from tests.api_client import Api
from tests.tasks.builders import CODE, a_next_task_version, a_task, a_task_version, post_version

DEFINED: list[dict[str, Any]] = [
    {"name": "depth", "type": "int", "min": 1, "max": 10, "default": 3},
    {"name": "rate", "type": "float", "min": 0, "max": 1.5, "default": 0.1, "description": "How fast."},
    {"name": "kernel", "type": "select", "values": ["rbf", "linear", 3, True], "default": "rbf"},
    {"name": "prefix", "type": "string", "default": ""},
    {"name": "seed", "type": "int"},
    {
        "name": "features",
        "type": "multi",
        "values": {
            "int": {"min": 1, "max": 100},
            "float": {"min": 0.0, "max": 1.0},
            "select": {"values": ["sqrt", "log2"]},
        },
        "default": "sqrt",
    },
    {"name": "anything", "type": "multi", "values": {"string": {}, "int": {}}},
]


def metadata_of(entries: Any) -> bytes:
    return yaml.safe_dump({"hyperparameters": entries}).encode()


@pytest.fixture
def task_id(api: Api) -> str:
    return str(a_task(api)["id"])


def test_what_a_file_defines_is_on_the_version(api: Api, task_id: str) -> None:
    version = a_task_version(api, task_id, {"custom.py": CODE, "model-metadata.yaml": metadata_of(DEFINED)})
    assert version["hyperparameters"] == DEFINED
    assert api.get(f"/customTasks/{task_id}/versions/{version['id']}/").json() == version
    kept = a_next_task_version(api, task_id, {"custom.py": b"x = 1"})
    assert kept["hyperparameters"] == DEFINED, "the file is there still"
    changed = a_next_task_version(api, task_id, {"model-metadata.yaml": metadata_of(DEFINED[:1])})
    assert changed["hyperparameters"] == DEFINED[:1]
    items = {item["filePath"]: item["id"] for item in changed["items"]}
    gone = a_next_task_version(api, task_id, filesToDelete=items["model-metadata.yaml"])
    assert gone["hyperparameters"] == []
    assert a_task_version(api, task_id, {"custom.py": CODE})["hyperparameters"] == []


def test_a_kind_of_which_nothing_is_said_takes_anything(api: Api, task_id: str) -> None:
    content = b"hyperparameters: [{name: a, type: multi, values: {int: , string: {}}}]"
    version = a_task_version(api, task_id, {"model-metadata.yaml": content})
    assert version["hyperparameters"] == [{"name": "a", "type": "multi", "values": {"int": {}, "string": {}}}]
    assert check_parameters(version["hyperparameters"], {"a": 5}) == ({"a": 5}, {})


def test_a_model_has_none(api: Api) -> None:
    """What is wrong in a part of the file that only tasks have is no reason to refuse a model's version."""
    made = api.post(
        "/customModels/",
        json={"name": "m", "customModelType": "inference", "targetType": "Regression", "targetName": "y"},
    ).json()
    version = api.patch(
        f"/customModels/{made['id']}/versions/",
        files=[("file", ("model-metadata.yaml", metadata_of("wrong"))), ("filePath", (None, b"model-metadata.yaml"))],
    )
    assert version.status_code == 201


FAULTS: list[tuple[Any, list[str]]] = [
    ("text", ["hyperparameters must be a list, not 'text'"]),
    ([{"name": f"p{n}", "type": "int"} for n in range(101)], ["at most 100 hyperparameters, not 101"]),
    (["a"], ["[0]: must be a mapping with name and type, not 'a'"]),
    ([{}], ["name must be letters", "type must be one of int, float, select, string, multi, not None"]),
    ([{"name": "1a", "type": "enum"}], ["name must be letters", "not 'enum'"]),
    ([{"name": "a", "type": ["int"]}], ["not ['int']"]),
    ([{"name": "a", "type": "int", "step": 1}], ["'step' is not a key"]),
    ([{"name": "a", "type": "int"}, {"name": "a", "type": "int"}], ["[1]: name 'a' is defined twice"]),
    ([{"name": "a", "type": "int", "min": 1.5}], ["min must be a whole number, not 1.5"]),
    ([{"name": "a", "type": "int", "min": True}], ["min must be a whole number, not True"]),
    ([{"name": "a", "type": "int", "max": 2**63}], ["max must be a whole number"]),
    ([{"name": "a", "type": "int", "min": 3, "max": 2}], ["min 3 is above max 2"]),
    ([{"name": "a", "type": "int", "min": 1, "default": 0}], ["default 0 is below min 1"]),
    ([{"name": "a", "type": "int", "max": 1, "default": 2}], ["default 2 is above max 1"]),
    ([{"name": "a", "type": "int", "default": 2.0}], ["default must be a whole number, not 2.0"]),
    ([{"name": "a", "type": "int", "values": [1]}], ["values is not for the type int"]),
    ([{"name": "a", "type": "float", "min": float("nan")}], ["min must be a finite number, not nan"]),
    ([{"name": "a", "type": "float", "default": "x"}], ["default must be a finite number, not 'x'"]),
    ([{"name": "a", "type": "string", "default": 1}], ["default must be text, not 1"]),
    ([{"name": "a", "type": "string", "default": "x" * 4097}], ["default has 4097 characters"]),
    ([{"name": "a", "type": "string", "default": "a\0b"}], ["default holds characters that are no text"]),
    ([{"name": "a", "type": "string", "min": 1}], ["min is not for the type string"]),
    ([{"name": "a", "type": "select"}], ["a list of at least one value, not None"]),
    ([{"name": "a", "type": "select", "values": []}], ["a list of at least one value, not []"]),
    ([{"name": "a", "type": "select", "values": ["a", "a", {}]}], ["[1] 'a' stands there twice", "[2] must be text"]),
    ([{"name": "a", "type": "select", "values": ["a"], "default": "b"}], ["default must be one of 'a', not 'b'"]),
    ([{"name": "a", "type": "select", "values": [1], "default": True}], ["default must be one of 1, not True"]),
    ([{"name": "a", "type": "multi"}], ["values of the type multi must be a map"]),
    ([{"name": "a", "type": "multi", "values": [1], "min": 1}], ["min is not for the type multi", "must be a map"]),
    (
        [{"name": "a", "type": "multi", "values": {"text": {}}}],
        ["values: 'text' is none of int, float, select"],
    ),
    ([{"name": "a", "type": "multi", "values": {"int": 5}}], ["values.int must be a map such as {min: 1}, not 5"]),
    ([{"name": "a", "type": "multi", "values": {"int": {"step": 1}}}], ["values.int: 'step' is not for it"]),
    ([{"name": "a", "type": "multi", "values": {"select": None}}], ["values.select must be a map"]),
    ([{"name": "a", "type": "multi", "values": {"int": {"min": 2, "max": 1}}}], ["values.int: min 2 is above max 1"]),
    ([{"name": "a", "type": "multi", "values": {"int": {"min": 2}}, "default": 1}], ["default 1 is below min 2"]),
    ([{"name": "a", "type": "int", "description": 5}], ["description must be text, not 5"]),
]


@pytest.mark.parametrize(("entries", "told"), FAULTS)
def test_what_is_wrong_is_told(entries: Any, told: list[str]) -> None:
    with pytest.raises(ValueError, match=r"^model-metadata\.yaml: ") as raised:
        read_hyperparameters({"hyperparameters": entries}, "model-metadata.yaml")
    for text in told:
        assert text in str(raised.value)


def test_a_number_that_yaml_reads_as_text_says_so() -> None:
    metadata = read_metadata(b"hyperparameters: [{name: tol, type: float, min: 1e-5, default: 1e-3}]", "m.yaml")
    with pytest.raises(ValueError, match=r"min must be a finite number, not '1e-5' \(YAML reads it as text"):
        read_hyperparameters(metadata, "m.yaml")


def test_every_fault_of_a_file_is_told_with_those_of_the_form(api: Api, task_id: str) -> None:
    content = b"""
        runtimeParameterDefinitions: [{fieldName: A, type: nothing}]
        hyperparameters: [{name: a, type: nothing}, {name: b, type: int, min: x}]
        typeSchema: {input_requirements: [{field: sparse, condition: EQUALS, value: PERHAPS}]}
    """
    answer = post_version(api, task_id, {"model-metadata.yaml": content}, maximumMemory="5", isMajorUpdate="x")
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert set(errors) == {"file", "maximumMemory", "isMajorUpdate"}
    for text in (
        "runtimeParameterDefinitions[0]",
        "hyperparameters[0]",
        "hyperparameters[1]: min",
        "typeSchema: input",
    ):
        assert text in errors["file"]
    assert api.get(f"/customTasks/{task_id}/versions/").json()["totalCount"] == 0
    broken = post_version(api, task_id, {"model-metadata.yaml": b"hyperparameters: ["})
    assert broken.json()["errors"]["file"].count("line 1") == 1


def test_defaults_hold_where_nothing_is_given() -> None:
    values, faults = check_parameters(DEFINED, {})
    assert faults == {}
    assert values == {"depth": 3, "rate": 0.1, "kernel": "rbf", "prefix": "", "features": "sqrt"}


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("depth", 10, 10),
        ("rate", 1, 1.0),
        ("kernel", True, True),
        ("kernel", 3, 3),
        ("prefix", "x", "x"),
        ("seed", -(2**63), -(2**63)),
        ("features", 100, 100),
        ("features", 0.5, 0.5),
        ("features", "log2", "log2"),
        ("anything", "text", "text"),
    ],
)
def test_what_is_given_is_taken(name: str, value: object, taken: object) -> None:
    values, faults = check_parameters(read_hyperparameters({"hyperparameters": DEFINED}, "m"), {name: value})
    assert faults == {}
    assert (values[name], type(values[name])) == (taken, type(taken))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("depth", 0, "0 is below min 1"),
        ("depth", 11, "11 is above max 10"),
        ("depth", 2.0, "must be a whole number, not 2.0"),
        ("depth", True, "must be a whole number, not True"),
        ("depth", None, "must be a whole number, not None"),
        ("seed", 2**63, "must be a whole number"),
        ("rate", float("inf"), "must be a finite number, not inf"),
        ("rate", "0.5", "must be a finite number, not '0.5'"),
        ("kernel", 1, "must be one of 'rbf', 'linear', 3, True, not 1"),
        ("prefix", 5, "must be text, not 5"),
        ("prefix", "a\0", "holds characters that are no text"),
        ("features", 500, "500 is above max 100 or 500 is above max 1.0 or must be one of 'sqrt', 'log2', not 500"),
        ("features", [], "must be a whole number, not []"),
        ("depht", 1, "is not a hyperparameter of the task, which has anything, depth, features"),
    ],
)
def test_what_does_not_fit_is_told_by_its_name(name: str, value: object, told: str) -> None:
    values, faults = check_parameters(DEFINED, {name: value, "rate" if name != "rate" else "depth": 1})
    assert faults.keys() == {name}
    assert told in faults[name]
    assert values["depth" if name == "rate" else "rate"] == 1


def test_a_task_without_hyperparameters_takes_none() -> None:
    assert check_parameters([], {"a": 1}) == ({}, {"a": "is not a hyperparameter of the task, which has none"})
