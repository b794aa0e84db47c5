"""The type schema of a task: what it takes, and what a transform gives."""

from typing import Any

import pytest
import yaml

from modelyard.workspaces.type_schema import read_type_schema
from tests.api_client import Api
from tests.tasks.builders import CODE, a_task, a_task_version, post_version


def entry(field: str, condition: str, value: Any) -> dict[str, Any]:
    return {"field": field, "condition": condition, "value": value}


INPUT = [
    entry("data_types", "IN", ["NUM", "CAT"]),
    entry("sparse", "EQUALS", "FORBIDDEN"),
    entry("number_of_columns", "GREATER_THAN", 1),
    entry("number_of_columns", "NOT_GREATER_THAN", 50),
    entry("contains_missing", "EQUALS", "SUPPORTED"),
]
OUTPUT = [
    entry("data_types", "EQUALS", "NUM"),
    entry("sparse", "EQUALS", "IDENTITY"),
    entry("number_of_columns", "IN", [2, 4]),
    entry("contains_missing", "EQUALS", "NEVER"),
]


def metadata_of(schema: Any) -> bytes:
    return yaml.safe_dump({"typeSchema": schema}).encode()


def test_the_schema_of_a_transform_is_on_its_version(api: Api) -> None:
    schema = {"input_requirements": INPUT, "output_requirements": OUTPUT}
    task = a_task(api, targetType="Transform")
    version = a_task_version(api, task["id"], {"custom.py": CODE, "model-metadata.yaml": metadata_of(schema)})
    assert version["typeSchema"] == schema
    assert a_task_version(api, task["id"], {"custom.py": CODE})["typeSchema"] is None


def test_an_estimator_has_no_output_requirements(api: Api) -> None:
    task = a_task(api, targetType="Binary")
    files = {"model-metadata.yaml": metadata_of({"input_requirements": INPUT})}
    assert a_task_version(api, task["id"], files)["typeSchema"] == {"input_requirements": INPUT}
    files = {"model-metadata.yaml": metadata_of({"output_requirements": OUTPUT})}
    answer = post_version(api, task["id"], files)
    assert answer.status_code == 422
    assert "output_requirements are for transforms only" in answer.json()["errors"]["file"]


FAULTS: list[tuple[Any, str]] = [
    ([], "typeSchema must be a map of input_requirements and output_requirements, not []"),
    ({"inputs": []}, "'inputs' is none of input_requirements, output_requirements"),
    ({"input_requirements": {}}, "input_requirements must be a list, not {}"),
    ({"input_requirements": [entry("sparse", "EQUALS", "SUPPORTED")] * 101}, "has at most 100 entries, not 101"),
    ({"input_requirements": ["a"]}, "[0]: must be a mapping with field, condition and value, not 'a'"),
    ({"input_requirements": [{}]}, "field is missing"),
    ({"input_requirements": [{"field": "sparse", "condition": "EQUALS"}]}, "value is missing"),
    ({"input_requirements": [{**INPUT[0], "more": 1}]}, "'more' is none of field, condition, value"),
    ({"input_requirements": [entry("colour", "EQUALS", "RED")]}, "field must be one of data_types, sparse"),
    ({"input_requirements": [entry("sparse", "IN", "SUPPORTED")]}, "condition of sparse must be EQUALS, not 'IN'"),
    ({"input_requirements": [entry("sparse", "EQUALS", "NEVER")]}, "FORBIDDEN, SUPPORTED, REQUIRED, not 'NEVER'"),
    ({"output_requirements": [entry("sparse", "EQUALS", "REQUIRED")]}, "NEVER, DYNAMIC, ALWAYS, IDENTITY, not"),
    ({"input_requirements": [entry("data_types", "IN", ["NUM", "INT"])]}, "not 'INT'"),
    ({"input_requirements": [entry("data_types", "IN", [])]}, "not an empty list"),
    ({"input_requirements": [entry("data_types", "IN", ["NUM", "NUM"])]}, "holds a value twice"),
    ({"input_requirements": [entry("data_types", "LIKE", "NUM")]}, "must be one of EQUALS, IN, NOT_EQUALS, NOT_IN"),
    ({"output_requirements": [entry("data_types", "IN", ["NUM", "CAT"])]}, "must be one value only"),
    ({"output_requirements": [entry("contains_missing", "EQUALS", "FORBIDDEN")]}, "one of NEVER, DYNAMIC"),
    ({"input_requirements": [entry("number_of_columns", "EQUALS", -1)]}, "whole number that is not negative, not -1"),
    ({"input_requirements": [entry("number_of_columns", "EQUALS", True)]}, "that is not negative, not True"),
    ({"input_requirements": [entry("number_of_columns", "EQUALS", [1, 2])]}, "must be one value only"),
    ({"input_requirements": [entry("number_of_columns", "EQUALS", 10**30)]}, "whole number"),
    (
        {"input_requirements": [entry("number_of_columns", "LESS_THAN", 5), entry("number_of_columns", "EQUALS", 4)]},
        "[1]: number_of_columns with EQUALS or IN stands alone",
    ),
    ({"input_requirements": [INPUT[1], INPUT[1]]}, "[1]: sparse stands there twice"),
]


@pytest.mark.parametrize(("schema", "told"), FAULTS)
def test_what_is_wrong_is_told(schema: Any, told: str) -> None:
    with pytest.raises(ValueError, match=r"^model-metadata\.yaml: ") as raised:
        read_type_schema({"typeSchema": schema}, "model-metadata.yaml", "Transform")
    assert told in str(raised.value)


def test_everything_wrong_is_told_at_once() -> None:
    schema = {"input_requirements": [{"field": "x"}], "output_requirements": [entry("sparse", "IN", "x")], "more": 1}
    with pytest.raises(ValueError, match="typeSchema") as raised:
        read_type_schema({"typeSchema": schema}, "m", "Binary")
    assert str(raised.value).count("typeSchema: ") == 7
