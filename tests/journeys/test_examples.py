"""Every example, from its folder to predictions over HTTP: answers are those that its code gives in this process."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.loading import EXAMPLES, Example
from tests.examples.test_served import pushed_copy
from tests.journeys.story import PLAIN_PYTHON, SCIKIT_LEARN, Story
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("journeys_examples")

PLAIN = {"text_generation", "unstructured_wordcount", "c_server"}
TARGET_TYPES = {"textgeneration": "TextGeneration"}
TABULAR = ["churn_model", "house_prices", "iris_species", "sensor_anomaly", "transform_scaler"]
needs_compiler = pytest.mark.skipif(
    not (shutil.which("make") and shutil.which("cc")), reason="the server in C needs make and a C compiler"
)


@dataclass
class Shop:
    """All examples, deployed at once."""

    story: Story
    deployments: dict[str, str]

    def predict(self, name: str, *arguments: Any, **options: Any) -> Any:
        answer = self.story.predict(self.deployments[name], *arguments, **options)
        assert answer.status_code == 200, answer.text
        return answer

    def sample(self, name: str) -> bytes:
        return (EXAMPLES / name / "sample.csv").read_bytes()


def model_fields(metadata: dict[str, Any]) -> dict[str, Any]:
    """What ``model-metadata.yaml`` says about the model, as the API takes it."""
    kind = metadata["targetType"]
    fields = {"name": metadata["name"], "description": metadata["description"], **metadata["inferenceModel"]}
    return fields | {"targetType": TARGET_TYPES.get(kind, kind.capitalize())}


def push(story: Story, name: str, folder: Path, **fields: str) -> dict[str, Any]:
    """The package of an example."""
    metadata = yaml.safe_load((EXAMPLES / name / "model-metadata.yaml").read_text())
    model = story.a_model(**model_fields(metadata))
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    version = story.a_version(model["id"], files, PLAIN_PYTHON if name in PLAIN else SCIKIT_LEARN, **fields)
    return story.a_package(version)


@pytest.fixture(scope="module")
def shop(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    launched = {}
    for name in sorted([*TABULAR, *PLAIN]):
        if name == "c_server" and not (shutil.which("make") and shutil.which("cc")):
            continue
        package = push(story, name, pushed_copy(name, tmp_path_factory.mktemp(name)))
        launched[name] = story.launch(package, label=name)
    for _, location in launched.values():
        story.await_success(location)
    shop = Shop(story, {name: deployment_id for name, (deployment_id, _) in launched.items()})
    yield shop
    for deployment_id in shop.deployments.values():
        story.delete(deployment_id)
    story.await_nothing_runs()


def in_process(name: str) -> list[dict[str, float]]:
    """What the example's own code answers to its sample."""
    example = Example(name)
    return [
        {str(name): value for name, value in row.items()}
        for row in example.predict(example.sample()).to_dict("records")
    ]


def as_rows(sample: bytes) -> list[dict[str, Any]]:
    """A CSV sample as JSON rows: numbers as numbers, gaps as null."""

    def value(text: str) -> Any:
        if text == "":
            return None
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text

    return [{name: value(text) for name, text in row.items()} for row in csv.DictReader(io.StringIO(sample.decode()))]


def values_of(row: dict[str, Any]) -> dict[str, float]:
    return {str(one["label"]): one["value"] for one in row["predictionValues"]}


@pytest.mark.parametrize("name", TABULAR)
@pytest.mark.parametrize("sent", ["csv", "json"])
def test_answers_are_those_of_the_code(shop: Shop, name: str, sent: str) -> None:
    sample = shop.sample(name)
    rows = shop.predict(name, sample if sent == "csv" else as_rows(sample)).json()["data"]
    expected = in_process(name)
    assert [row["rowId"] for row in rows] == list(range(len(expected)))
    target = yaml.safe_load((EXAMPLES / name / "model-metadata.yaml").read_text())["inferenceModel"]["targetName"]
    for row, wanted in zip(rows, expected, strict=True):
        renamed = {target if label == "Predictions" else str(label): value for label, value in wanted.items()}
        assert values_of(row) == pytest.approx(renamed, rel=1e-9)


CSV_COLUMNS = {
    "churn_model": {"yes": "churned_yes_PREDICTION", "no": "churned_no_PREDICTION"},
    "house_prices": {"price": "price_PREDICTION"},
    "iris_species": {one: f"species_{one}_PREDICTION" for one in ("setosa", "versicolor", "virginica")},
    "sensor_anomaly": {"strangeness": "strangeness_PREDICTION"},
    "transform_scaler": {one: one for one in ("distance_km_scaled", "weight_kg_scaled", "value_eur_scaled")},
}


@pytest.mark.parametrize("name", TABULAR)
def test_csv_holds_the_same_numbers(shop: Shop, name: str) -> None:
    """Columns as supporting-endpoints.md D.2 names them."""
    answer = shop.predict(name, shop.sample(name), accept="text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    rows = shop.predict(name, shop.sample(name)).json()["data"]
    columns = CSV_COLUMNS[name]
    for line, row in zip(lines, rows, strict=True):
        assert {label: float(line[columns[label]]) for label in columns} == pytest.approx(values_of(row), rel=1e-12)


def test_a_binary_answer_has_threshold_labels_and_passed_columns(shop: Shop) -> None:
    params = [("passthroughColumns", "customer_id"), ("passthroughColumns", "region")]
    rows = shop.predict("churn_model", shop.sample("churn_model"), params=params).json()["data"]
    sample = as_rows(shop.sample("churn_model"))
    assert {row["prediction"] for row in rows} == {"yes", "no"}
    for row, sent in zip(rows, sample, strict=True):
        values = values_of(row)
        assert list(values) == ["yes", "no"]
        assert sum(values.values()) == pytest.approx(1)
        assert row["predictionThreshold"] == 0.4
        assert row["prediction"] == ("yes" if values["yes"] >= 0.4 else "no")
        assert row["passthroughValues"] == {"customer_id": sent["customer_id"], "region": sent["region"]}
    as_csv = shop.predict("churn_model", shop.sample("churn_model"), accept="text/csv").text
    assert as_csv.splitlines()[0].split(",") == [
        "churned_yes_PREDICTION",
        "churned_no_PREDICTION",
        "churned_PREDICTION",
        "THRESHOLD",
        "POSITIVE_CLASS",
    ]


def test_a_multiclass_answer_names_the_most_probable_class_first(shop: Shop) -> None:
    for row in shop.predict("iris_species", shop.sample("iris_species")).json()["data"]:
        values = values_of(row)
        assert set(values) == {"setosa", "versicolor", "virginica"}
        assert list(values.values()) == sorted(values.values(), reverse=True)
        assert row["prediction"] == next(iter(values))


def test_every_address_and_form_of_a_request_is_answered_alike(shop: Shop) -> None:
    sample = shop.sample("house_prices")
    deployment_id = shop.deployments["house_prices"]
    expected = shop.predict("house_prices", sample).json()
    for path in ("/predApi/v1.0", "/api/v2"):
        assert shop.predict("house_prices", sample, path=path).json() == expected
    through_api = shop.story.api.post(
        f"/deployments/{deployment_id}/predictions", content=sample, headers={"Content-Type": "text/csv"}
    )
    assert through_api.json() == expected
    form = shop.story.gateway.post(
        f"/api/v2/deployments/{deployment_id}/predictions/", files={"file": ("sample.csv", sample, "text/csv")}
    )
    assert form.json() == expected
    assert shop.predict("house_prices", sample, "text/plain; charset=UTF-8").json() == expected


def test_stories_follow_their_runtime_parameters(shop: Shop, tmp_path: Path) -> None:
    rows = shop.predict("text_generation", shop.sample("text_generation")).json()["data"]
    assert all(row["prediction"].startswith("Here is a story: ") for row in rows)
    values = [
        {"fieldName": "GREETING", "type": "string", "value": "Listen."},
        {"fieldName": "MAX_WORDS", "type": "numeric", "value": 12},
    ]
    folder = pushed_copy("text_generation", tmp_path)
    package = push(shop.story, "text_generation", folder, runtimeParameterValues=json.dumps(values))
    overridden = json.dumps([{"fieldName": "MAX_WORDS", "type": "numeric", "value": 6}])
    short = shop.story.launch(package, label="short stories", runtimeParameterValues=overridden)
    listening = shop.story.deploy(package, label="stories to listen to")
    shop.story.await_success(short[1])
    for deployment_id, most in ((short[0], 6), (listening, 12)):
        answer = shop.story.predict(deployment_id, [{"promptText": "the lighthouse"}]).json()["data"][0]["prediction"]
        assert answer.startswith("Listen. ")
        assert len(answer.split()) <= most + 1
        shop.story.delete(deployment_id)
    as_csv = shop.predict("text_generation", shop.sample("text_generation"), accept="text/csv").text
    assert [line["resultText_PREDICTION"] for line in csv.DictReader(io.StringIO(as_csv))] == [
        row["prediction"] for row in rows
    ]


def test_words_are_counted_in_text_json_and_bytes(shop: Shop) -> None:
    deployment_id = shop.deployments["unstructured_wordcount"]
    text = "Ein Boot, noch ein Boot: zwei Boote."
    expected = json.loads(Example("unstructured_wordcount").hooks.score_unstructured(frozenset(), text)[0])
    answer = shop.story.ask(deployment_id, text.encode("utf-16"), "text/plain; charset=utf-16")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json() == expected
    assert shop.story.ask(deployment_id, json.dumps({"text": text}), "application/json").json() == expected
    raw = shop.story.ask(deployment_id, b"Boot \xff Boot", "application/octet-stream")
    assert raw.headers["content-type"].startswith("application/octet-stream")
    assert raw.content == b"boot\t2\n"
    refused = shop.story.ask(deployment_id, "{}", "application/json")
    assert refused.status_code == 422
    assert "must be" in refused.json()["message"]


@needs_compiler
@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
def test_the_server_in_c_answers(shop: Shop, accept: str) -> None:
    sample = shop.sample("c_server")
    for sent in (sample, as_rows(sample)):
        answer = shop.predict("c_server", sent, accept=accept)
        if accept == "text/csv":
            got = [float(line["minutes_PREDICTION"]) for line in csv.DictReader(io.StringIO(answer.text))]
        else:
            got = [row["prediction"] for row in answer.json()["data"]]
        assert got == pytest.approx([24.07, 63.1, 14.695])


def test_logs_of_healthy_models_hold_no_alarming_words(shop: Shop) -> None:
    """supporting-endpoints.md E.9: a client gives a deployment up whose log has one of these words."""
    for name, deployment_id in shop.deployments.items():
        for log in (shop.story.launch_log(deployment_id), shop.story.runtime_log(deployment_id)):
            assert log, name
            assert "WARNING" not in log, f"{name}: {log}"
            assert "ERROR" not in log, f"{name}: {log}"


def test_usage_and_health_are_those_of_the_traffic(shop: Shop) -> None:
    deployment_id = shop.story.deploy(
        {"id": shop.story.read(shop.deployments["iris_species"])["modelPackage"]["id"]}, label="counted"
    )
    before = shop.story.read(deployment_id)
    assert before["predictionUsage"] == {"dailyRates": [0] * 7, "lastTimestamp": None}
    assert before["serviceHealth"]["status"] == "notStarted"
    for _ in range(3):
        assert shop.story.predict(deployment_id, shop.sample("iris_species")).status_code == 200
    wait_until(lambda: shop.story.read(deployment_id)["predictionUsage"]["dailyRates"][-1] == 27 or None, 10, "27 rows")
    after = shop.story.read(deployment_id)
    assert after["predictionUsage"]["lastTimestamp"] is not None
    assert after["serviceHealth"]["status"] == "passing"
    shop.story.delete(deployment_id)
