"""The parameters of a test: each that is wrong is reported, and nothing that only follows from another one."""

import ast
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import Installation
from tests.models.builders import a_model, a_version

ALL_ON = {"predictionVerificationCheck": "fail", "performanceCheck": "fail", "stabilityCheck": "warn"}
VERIFICATION = {"datasetId": "{dataset}", "predictionsColumn": "y"}


@pytest.fixture
def installation(an_installation: Callable[..., Installation]) -> Installation:
    return an_installation(max_testing_parallel_users=2)


@pytest.fixture
def request_body(installation: Installation) -> dict[str, Any]:
    """The body of a test that starts."""
    api = installation.api
    dataset = api.post("/datasets/fromFile/", files={"file": ("table.csv", b"x,y\n1,2\n")}).json()["catalogId"]
    installation.run_operations()
    model = a_model(api)
    version = a_version(api, model["id"], {"custom.py": b""})
    return {"customModelId": model["id"], "customModelVersionId": version["id"], "datasetId": dataset}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, {"parameters.predictionVerificationCheck"}),
        ({"performanceCheck": {"maxResponseTime": "x"}}, {"parameters", "parameters.predictionVerificationCheck"}),
        (5, {"parameters"}),
        ({"predictionVerificationCheck": 5}, {"parameters"}),
        ({"predictionVerificationCheck": {"datasetId": "{dataset}"}}, {"parameters"}),
        ({"predictionVerificationCheck": VERIFICATION, "performanceCheck": {"maxResponseTime": 0}}, {"parameters"}),
        (
            {
                "predictionVerificationCheck": VERIFICATION | {"predictionsColumn": "z"},
                "performanceCheck": {"maxResponseTime": 0, "numParallelUsers": 20},
                "stabilityCheck": {"minPayloadSize": 5, "maxPayloadSize": 4},
            },
            {
                "parameters",
                "parameters.predictionVerificationCheck.predictionsColumn",
                "parameters.performanceCheck.numParallelUsers",
                "parameters.stabilityCheck.minPayloadSize",
            },
        ),
        (
            {
                "predictionVerificationCheck": VERIFICATION,
                "stabilityCheck": {"minPayloadSize": 500, "maxPayloadSize": "y"},
            },
            {"parameters"},
        ),
    ],
)
def test_every_wrong_parameter_is_reported_once(
    installation: Installation, request_body: dict[str, Any], parameters: Any, expected: set[str]
) -> None:
    filled = str(parameters).replace("{dataset}", request_body["datasetId"])
    body = {**request_body, "configuration": ALL_ON, "parameters": ast.literal_eval(filled)}
    answer = installation.api.post("/customModelTests/", json=body)
    assert answer.status_code == 422, answer.text
    assert set(answer.json()["errors"]) == expected, answer.text


def test_a_wrong_level_does_not_hide_parameters(installation: Installation, request_body: dict[str, Any]) -> None:
    configuration = {**ALL_ON, "errorCheck": "often"}
    answer = installation.api.post("/customModelTests/", json={**request_body, "configuration": configuration})
    assert set(answer.json()["errors"]) == {"configuration", "parameters.predictionVerificationCheck"}
