"""Contradictory settings of a model: each is refused, all the wrong fields at once."""

from typing import Any

import pytest

from tests.api_client import Api
from tests.models.builders import GIT, NOBODY, a_model, refused_model

LABELS = ["red", "green", "blue"]


CONTRADICTIONS: list[tuple[dict[str, Any], set[str]]] = [
    ({"positiveClassLabel": "yes"}, {"negativeClassLabel"}),
    ({"negativeClassLabel": "no"}, {"positiveClassLabel"}),
    ({"positiveClassLabel": "yes", "negativeClassLabel": None}, {"negativeClassLabel"}),
    ({"positiveClassLabel": "yes", "negativeClassLabel": "yes"}, {"negativeClassLabel"}),
    ({"positiveClassLabel": "", "negativeClassLabel": "no"}, {"positiveClassLabel"}),
    ({"targetType": "Multiclass"}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": []}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": ["one"]}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": ["a", "a", "b"]}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": ["a", ""]}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": [str(n) for n in range(101)]}, {"classLabels"}),
    ({"targetType": "Multiclass", "classLabels": [1, 2]}, {"classLabels"}),
    ({"classLabels": LABELS}, {"classLabels"}),
    (
        {"targetType": "Regression", "positiveClassLabel": "a", "negativeClassLabel": "b"},
        {"positiveClassLabel", "negativeClassLabel"},
    ),
    ({"predictionThreshold": 1.01}, {"predictionThreshold"}),
    ({"predictionThreshold": -0.1}, {"predictionThreshold"}),
    ({"predictionThreshold": "0.5"}, {"predictionThreshold"}),
    ({"targetName": ...}, {"targetName"}),
    ({"targetName": "  "}, {"targetName"}),
    ({"targetType": "TextGeneration", "targetName": None}, {"targetName"}),
    ({"customModelType": "training"}, {"targetName"}),
    ({"targetType": ...}, {"targetType"}),
    ({"targetType": ..., "supportsRegression": True, "supportsBinaryClassification": True}, {"targetType"}),
    ({"targetType": "Regression", "supportsBinaryClassification": True}, {"supportsBinaryClassification"}),
    ({"targetType": "Binary", "supportsRegression": True}, {"supportsRegression"}),
    ({"targetType": "Clustering"}, {"targetType"}),
    ({"customModelType": ...}, {"customModelType"}),
    ({"name": ...}, {"name"}),
    ({"name": ""}, {"name"}),
    ({"name": " "}, {"name"}),
    ({"name": "x" * 256}, {"name"}),
    ({"name": None}, {"name"}),
    ({"description": "x" * 10001}, {"description"}),
    ({"language": "x" * 501}, {"language"}),
    ({"userProvidedId": "x" * 101}, {"userProvidedId"}),
    ({"maximumMemory": 134217727}, {"maximumMemory"}),
    ({"maximumMemory": 15032385537}, {"maximumMemory"}),
    ({"desiredMemory": 268435456, "maximumMemory": 134217728}, {"desiredMemory"}),
    ({"replicas": 0}, {"replicas"}),
    ({"replicas": 9}, {"replicas"}),
    ({"networkEgressPolicy": "none"}, {"networkEgressPolicy"}),
    ({"gitModelVersion": {"refName": "main"}}, {"gitModelVersion"}),
    ({"gitModelVersion": GIT | {"mainBranchCommitSha": "z" * 40}}, {"gitModelVersion"}),
    ({"gitModelVersion": GIT | {"mainBranchCommitSha": "a" * 64}}, {"gitModelVersion"}),
    (
        {"gitModelVersion": GIT | {"pullRequestCommitSha": "stringstringstringstringstringstringstri"}},
        {"gitModelVersion"},
    ),
    ({"tags": [{"name": "a"}]}, {"tags"}),
]


def test_a_contradiction_names_its_field(api: Api) -> None:
    for fields, wrong in CONTRADICTIONS:
        assert set(refused_model(api, **fields)) == wrong, fields


def test_all_contradictions_are_told_at_once(api: Api) -> None:
    errors = refused_model(
        api,
        targetType="Multiclass",
        positiveClassLabel="yes",
        targetName=None,
        desiredMemory=268435456,
        maximumMemory=134217728,
    )
    assert set(errors) == {"classLabels", "positiveClassLabel", "targetName", "desiredMemory"}


def test_all_wrong_types_are_told_at_once_with_their_values(api: Api) -> None:
    errors = refused_model(api, predictionThreshold=2, replicas="two", name=7)
    assert set(errors) == {"predictionThreshold", "replicas", "name"}
    assert '"two"' in errors["replicas"]


def test_a_multiclass_model_keeps_the_order_of_its_labels(api: Api) -> None:
    model = a_model(api, targetType="Multiclass", classLabels=LABELS)
    assert model["classLabels"] == LABELS
    assert "positiveClassLabel" not in model


def test_an_update_is_checked_against_what_the_model_is(api: Api) -> None:
    model = a_model(api, maximumMemory=268435456)
    path = f"/customModels/{model['id']}/"
    for change, wrong in (
        ({"positiveClassLabel": "yes"}, "negativeClassLabel"),
        ({"positiveClassLabel": None}, "negativeClassLabel"),
        ({"desiredMemory": 536870912}, "desiredMemory"),
        ({"classLabels": LABELS}, "classLabels"),
        ({"targetName": None}, "targetName"),
        ({"predictionThreshold": 1.5}, "predictionThreshold"),
        ({"name": " "}, "name"),
        ({"description": None}, "description"),
    ):
        refused = api.patch(path, json=change)
        assert refused.status_code == 422
        assert set(refused.json()["errors"]) == {wrong}
    assert api.get(path).json() == model


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    answer = api.post("/customModels/", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert answer.json()["message"]


def test_a_copy_of_nothing_is_refused(api: Api) -> None:
    assert api.post("/customModels/fromCustomModel/", json={}).status_code == 422
    assert api.post("/customModels/fromCustomModel/", json={"customModelId": NOBODY}).status_code == 404
