"""Every cell is the same for a model in training, in a project's predictions, in a deployment and in a model test."""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import pytest

from tests.deployments.serving import Workshop
from tests.learning.builders import Lab
from tests.learning.test_training import SPLIT, predictions

# A row's prediction is a number that follows from the type and the value of each of its cells.
RECORDER = """
    import json
    import zlib
    from pathlib import Path
    import numpy as np
    import pandas as pd

    def cell(value):
        if isinstance(value, float) and value != value:
            return "missing"
        if isinstance(value, (bool, int, float, np.generic)):
            return f"number {float(value)!r}"
        return f"text {value!r}"

    def cells(data):
        return [[cell(value) for value in row] for row in data.astype(object).to_numpy().tolist()]

    def fit(X, y, output_dir, **kwargs):
        print("CELLS", json.dumps(cells(X)))
        Path(output_dir, "model.txt").write_text("a model")

    def load_model(input_dir):
        return "a model"

    def score(data, model, **kwargs):
        numbers = [float(zlib.crc32(json.dumps(row).encode())) for row in cells(data)]
        return pd.DataFrame({"Predictions": numbers})
"""
COLUMNS = ["truth", "flag", "gap", "code", "huge", "whole", "real", "word", "day", "moment", "y"]
MOMENT = "2024-02-29T12:30:00.000000"


def a_row(number: int, **cells: str) -> dict[str, str]:
    row = {
        "truth": ["TRUE", "FALSE"][number % 2],
        "flag": ["true", "True"][number % 2],
        "gap": ["TRUE", "FALSE"][number % 2],
        "code": f"{number:03}",
        "huge": str(2**64 + 3 * number),
        "whole": str(number),
        "real": f"{number / 8}",
        "word": "x",
        "day": f"2024-02-{number % 28 + 1:02}",
        "moment": MOMENT,
        "y": str(number * 10),
    }
    return row | cells


# What makes a column of texts: in the first rows, which are trained on, but not in those that are predicted.
TRAINED = [
    a_row(0, truth="maybe", code="A1", gap=""),
    a_row(1, word="#NA", real=""),
    a_row(2, word="-nan", moment=""),
    *(a_row(number) for number in range(3, 40)),
]
ASKED = [a_row(3), a_row(4), a_row(5, flag=""), a_row(6, gap="NA", word="1.#IND"), a_row(7, real="", whole="")]


def missing(text: str) -> bool:
    return text in {"", "#NA", "-nan", "NA", "1.#IND"}


def expected(row: dict[str, str], name: str) -> str:
    """The cell of a trained column, by its text."""
    text = row[name]
    if missing(text):
        return "missing"
    match name:
        case "truth" | "code" | "word" | "day" | "moment":
            return f"text {text!r}"
        case "gap":
            return f"text {text.capitalize()!r}"
        case "flag":
            return f"number {float(text.lower() == 'true')!r}"
    return f"number {float(text)!r}"


def lines(rows: Sequence[dict[str, str]], *, with_y: bool = True) -> list[str]:
    names = COLUMNS if with_y else COLUMNS[:-1]
    return [",".join(names), *(",".join(row[name] for name in names) for row in rows)]


def prediction(row: dict[str, str]) -> float:
    return float(zlib.crc32(json.dumps([expected(row, name) for name in COLUMNS[:-1]]).encode()))


def as_json(row: dict[str, str]) -> dict[str, Any]:
    """The row as a client sends it in JSON: texts of text columns, numbers and booleans of the others."""
    found: dict[str, Any] = {}
    for name in COLUMNS[:-1]:
        text = row[name]
        if missing(text):
            found[name] = None
        elif name in {"flag", "gap"}:
            found[name] = text.lower() == "true"
        else:
            found[name] = float(text) if name in {"huge", "whole", "real"} else text
    return found


@pytest.fixture
def serving(lab: Lab) -> Workshop:
    return Workshop(lab.installation, lab.environment_id)


def test_every_cell_is_the_same_by_every_way(lab: Lab, serving: Workshop) -> None:
    with serving.working():
        dataset = lab.a_dataset(lines(TRAINED), "trained.csv")
        project = lab.a_project(target="y", targetType="Regression", datasetId=dataset, partitioning=SPLIT)
        model = lab.trained(project, lab.a_task(RECORDER, "Regression"))
        fitted = {
            tuple(row)
            for line in lab.log(model).splitlines()
            if " CELLS " in f" {line}"
            for row in json.loads(line.partition("CELLS ")[2])
        }
        everything = {tuple(expected(row, name) for name in COLUMNS[:-1]) for row in TRAINED}
        assert fitted
        assert fitted <= everything

        wanted = [prediction(row) for row in ASKED]
        asked = lab.a_dataset(lines(ASKED, with_y=False), "asked.csv")
        found = [float(one["y_PREDICTION"]) for one in predictions(lab, model, asked)]
        assert found == wanted, "in the project"

        body = {"label": "Cells", "description": None, "modelId": model["id"]}
        answer = lab.api.post("/deployments/fromLearningModel/", json=body)
        deployed = dict(serving.await_success(answer.headers["Location"]).json())

        def deployment(content: str, content_type: str) -> list[float]:
            got = serving.ask(deployed["id"], content, "/v1/predictions/", content_type)
            assert got.status == 200, got.body
            return [one["prediction"] for one in json.loads(got.body)["data"]]

        assert deployment("\n".join(lines(ASKED, with_y=False)), "text/csv") == wanted
        assert deployment("\n".join(lines(ASKED, with_y=False)).replace(",", ";"), "text/csv") == wanted
        assert deployment(json.dumps([as_json(row) for row in ASKED]), "application/json") == wanted
        assert deployment("\n".join(json.dumps(as_json(row)) for row in ASKED), "application/x-ndjson") == wanted
        for row, number in zip(ASKED, wanted, strict=True):
            assert deployment("\n".join(lines([row], with_y=False)), "text/csv") == [number]
            assert deployment(json.dumps([as_json(row)]), "application/json") == [number]

        image = deployed["model"]["customModelImage"]
        verified = [f"{line},{number}" for line, number in zip(lines(ASKED, with_y=False), ["p", *wanted], strict=True)]
        body = {
            "customModelId": image["customModelId"],
            "customModelVersionId": image["customModelVersionId"],
            "datasetId": asked,
            "configuration": {"errorCheck": "fail", "sideEffects": "fail", "predictionVerificationCheck": "fail"},
            "parameters": {
                "predictionVerificationCheck": {
                    "datasetId": lab.a_dataset(verified, "verified.csv"),
                    "predictionsColumn": "p",
                    "matchingRate": 1.0,
                    "comparisonPrecision": 1e-6,
                }
            },
        }
        started = lab.api.post("/customModelTests/", json=body)
        assert started.status_code == 202, started.text
        serving.await_end(started.headers["Location"])
        [test] = lab.api.get(f"/customModelTests/?customModelId={image['customModelId']}").json()["data"]
        assert test["overallStatus"] == "succeeded", test["testingStatus"]
