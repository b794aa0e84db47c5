"""What a kept transform is known by: everything that its output follows from, and nothing else."""

from typing import Any

import pytest

from modelyard.learning.partitions import Fit
from modelyard.learning.tables import LearningModel, Project
from modelyard.learning.transforms import keys_of

FITS = [Fit("fold-1", [1], [0]), Fit("final", [0, 1], [-1])]


def a_task(**fields: Any) -> dict[str, Any]:
    return {
        "digest": "d",
        "parameters": {},
        "typeSchema": None,
        "parameterDefinitions": [{"fieldName": "CITY", "type": "string"}],
        "parameterValues": [],
        "requiredMetadata": {},
    } | fields


def keys(*tasks: dict[str, Any], image: str = "i", weights: str | None = None, **fields: Any) -> dict[str, list[str]]:
    project = Project(
        id="p",
        table_digest="t",
        partition_digest="q",
        class_labels=[],
        target="y",
        columns=[{"name": name, "kind": "float64"} for name in ("x", "w", "y")],
    )
    for name, value in fields.items():
        setattr(project, name, value)
    return keys_of(project, LearningModel(tasks=list(tasks), row_weights_column=weights), image, FITS)


BASE = (a_task(), a_task(digest="e"), a_task(digest="estimator"))


def test_each_transform_of_each_fit_has_a_key_of_its_own() -> None:
    found = keys(*BASE)
    assert {name: len(one) for name, one in found.items()} == {"fold-1": 2, "final": 2}
    assert len({key for one in found.values() for key in one}) == 4
    assert keys(*BASE) == found


def test_what_comes_after_a_transform_does_not_matter() -> None:
    other = keys(BASE[0], a_task(digest="f"), a_task(digest="another estimator", parameters={"depth": 3}))
    assert other["final"][0] == keys(*BASE)["final"][0]
    assert other["final"][1] != keys(*BASE)["final"][1]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "other files"},
        {"parameters": {"depth": 3}},
        {"typeSchema": {"input_requirements": []}},
        {"requiredMetadata": {"REGION": "eu"}},
        {"parameterValues": [{"fieldName": "CITY", "type": "string", "value": "Oslo"}]},
    ],
)
def test_a_task_that_differs_is_fitted_anew(change: dict[str, Any]) -> None:
    assert keys(a_task(**change), *BASE[1:])["final"][0] != keys(*BASE)["final"][0]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "j"},
        {"weights": "w"},
        {"id": "another project"},
        {"table_digest": "other rows"},
        {"partition_digest": "other parts"},
        {"target": "x"},
    ],
)
def test_other_data_or_libraries_are_fitted_anew(change: dict[str, Any]) -> None:
    assert keys(*BASE, **change)["final"][0] != keys(*BASE)["final"][0]


def test_variables_of_a_later_task_are_seen_by_the_first_one_too() -> None:
    """All tasks of a chain share one environment."""
    other = keys(*BASE[:2], a_task(digest="estimator", requiredMetadata={"REGION": "eu"}))
    assert other["final"][0] != keys(*BASE)["final"][0]
