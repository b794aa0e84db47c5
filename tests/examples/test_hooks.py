"""The hooks of the examples, called as the runner calls them."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.examples.loading import EXAMPLES, Example

TABULAR = ["churn_model", "house_prices", "iris_species", "sensor_anomaly", "transform_scaler", "text_generation"]
WITH_HOOKS = [name for name in TABULAR if name != "iris_species"]


@pytest.fixture(scope="module", params=TABULAR)
def example(request: pytest.FixtureRequest) -> Example:
    return Example(request.param)


def assert_same(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(got.reset_index(drop=True), expected.reset_index(drop=True), rtol=1e-9, atol=1e-9)


def test_each_row_gets_one_answer(example: Example) -> None:
    sample = example.sample()
    answer = example.predict(sample)
    assert len(answer) == len(sample) > 0
    assert not answer.isna().any().any()


def test_rows_do_not_depend_on_each_other(example: Example) -> None:
    sample = example.sample()
    one_by_one = [example.predict(sample.iloc[[row]]) for row in range(len(sample))]
    assert_same(pd.concat(one_by_one), example.predict(sample))


def test_rows_sent_as_json_get_the_same_answer(example: Example) -> None:
    sample = example.sample()
    rows = json.loads(sample.to_json(orient="records", double_precision=15))
    assert_same(example.predict(pd.DataFrame(rows)), example.predict(sample))


def test_further_columns_and_their_order_do_not_matter(example: Example) -> None:
    sample = example.sample()
    wide = sample[sample.columns[::-1]].assign(churned="no", price=1, species="setosa", fault="none", note="spare")
    assert_same(example.predict(wide), example.predict(sample))


@pytest.mark.parametrize("blank", [np.nan, None])
def test_any_column_may_be_blank(example: Example, blank: float | None) -> None:
    sample = example.sample()
    for name in sample.columns:
        column = pd.Series([blank] * len(sample), dtype=float if blank is not None else object)
        answer = example.predict(sample.assign(**{name: column}))
        assert not answer.isna().any().any(), name


@pytest.mark.parametrize("name", WITH_HOOKS)
def test_missing_columns_are_named(name: str) -> None:
    example = Example(name)
    dropped = example.sample().columns[-2:]
    with pytest.raises(ValueError, match=f"^missing columns: {', '.join(dropped)}$"):
        example.predict(example.sample().drop(columns=dropped))


def test_churn_labels_and_probabilities() -> None:
    answer = Example("churn_model").predict(Example("churn_model").sample())
    assert list(answer.columns) == ["no", "yes"]
    assert answer.sum(axis=1).to_numpy() == pytest.approx(1.0)
    assert answer["yes"].between(0, 1).all()


def test_churn_refuses_text_where_a_number_belongs() -> None:
    churn = Example("churn_model")
    with pytest.raises(ValueError, match=r"column monthly_charge must hold numbers: .*cheap"):
        churn.predict(churn.sample().assign(monthly_charge="cheap"))


def test_churn_takes_kinds_it_never_saw() -> None:
    churn = Example("churn_model")
    answer = churn.predict(churn.sample().assign(region="moon", plan=7, app_version="latest"))
    assert not answer.isna().any().any()


@pytest.mark.parametrize(
    ("version", "behind"), [("7.4.0", 0.0), ("7.1.0", 0.3), ("5.9.2", 1.5), ("6", 1.4), (7.3, 0.1)]
)
def test_the_age_of_an_app(version: object, behind: float) -> None:
    assert Example("churn_model").hooks.app_age(version) == pytest.approx(behind)


def test_iris_answers_each_species() -> None:
    iris = Example("iris_species")
    metadata = yaml.safe_load((iris.folder / "model-metadata.yaml").read_text())
    answer = iris.predict(iris.sample())
    assert list(answer.columns) == metadata["inferenceModel"]["classLabels"]
    assert answer.sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_the_faults_in_the_sample_of_readings_are_the_strangest() -> None:
    sensors = Example("sensor_anomaly")
    strangeness = sensors.predict(sensors.sample())["Predictions"]
    assert set(strangeness.nlargest(3).index) == {6, 7, 8}


def test_scaled_columns_have_one_scale() -> None:
    scaler = Example("transform_scaler")
    scaled = scaler.predict(pd.read_csv(scaler.folder / "training/deliveries.csv"))
    assert list(scaled.columns) == ["distance_km_scaled", "weight_kg_scaled", "value_eur_scaled"]
    assert scaled.mean().to_numpy() == pytest.approx(0, abs=1e-9)
    assert scaled.std(ddof=0).to_numpy() == pytest.approx(1)


def test_stories_follow_the_runtime_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    stories = Example("text_generation")
    monkeypatch.setenv("GREETING", "Listen!")
    monkeypatch.setenv("MAX_WORDS", "12.0")
    texts = list(stories.predict(stories.sample())["resultText"])
    assert len(set(texts)) == len(texts) == 3
    for text in texts:
        assert text.startswith("Listen! ")
        assert 2 < len(text.split()) <= 13


def test_stories_take_up_the_words_of_the_prompt() -> None:
    stories = Example("text_generation")
    text = stories.predict(pd.DataFrame({"promptText": ["sing of the PIANO!"]}))["resultText"][0]
    assert "piano" in text.split(".")[0]


def test_stories_with_the_declared_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = yaml.safe_load((EXAMPLES / "text_generation/model-metadata.yaml").read_text())
    declared = {definition["fieldName"]: definition for definition in metadata["runtimeParameterDefinitions"]}
    for name, definition in declared.items():
        monkeypatch.setenv(name, str(definition["defaultValue"]))
    stories = Example("text_generation")
    for text in stories.predict(stories.sample())["resultText"]:
        assert text.startswith(declared["GREETING"]["defaultValue"])
        assert 12 < len(text.split()) <= declared["MAX_WORDS"]["defaultValue"] + 4
    assert declared["MAX_WORDS"]["minValue"] <= 40 <= declared["MAX_WORDS"]["maxValue"]


class WordCount:
    """The unstructured example and what it answers."""

    def __init__(self) -> None:
        self.example = EXAMPLES / "unstructured_wordcount"
        self.hooks: Any = Example("unstructured_wordcount").hooks
        self.model = self.hooks.load_model(str(self.example))

    def answer(self, data: str | bytes, mimetype: str) -> Any:
        return self.hooks.score_unstructured(self.model, data, mimetype=mimetype, charset="utf8", query={}, headers={})


@pytest.fixture(scope="module")
def word_count() -> WordCount:
    return WordCount()


def test_words_of_a_text(word_count: WordCount) -> None:
    text, kind = word_count.answer((word_count.example / "sample.txt").read_text(), "text/plain")
    assert kind["mimetype"] == "application/json"
    answer = json.loads(text)
    assert answer["words"] == 25
    assert answer["top"][:2] == [{"word": "ferry", "count": 2}, {"word": "harbour", "count": 2}]
    assert "the" not in {entry["word"] for entry in answer["top"]}


def test_words_of_a_json_request(word_count: WordCount) -> None:
    text, _ = word_count.answer('{"text": "Äpfel, äpfel"}', "application/json")
    assert json.loads(text) == {"characters": 12, "words": 2, "top": [{"word": "äpfel", "count": 2}]}


def test_words_of_bytes(word_count: WordCount) -> None:
    answer = word_count.answer("Möwe möwe Boot".encode(), "application/octet-stream")
    assert answer == "möwe\t2\nboot\t1\n".encode()


def test_bytes_that_are_no_text_are_not_fatal(word_count: WordCount) -> None:
    assert isinstance(word_count.answer(bytes(range(256)), "image/png"), bytes)


@pytest.mark.parametrize("body", ["{", "[]", '{"text": 1}', "{}"])
def test_requests_that_hold_no_text_are_refused(word_count: WordCount, body: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        word_count.answer(body, "application/json")
