"""Estimators that were fitted on texts or mappings get those; what n rows give never depends on n."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer, StandardScaler

from modelyard_runner.models.frames import frame_of_csv, frame_of_rows
from modelyard_runner.models.hooks import Hooks
from modelyard_runner.models.structured import StructuredModel
from modelyard_runner.problems import LoadError, Refusal
from modelyard_runner.target import Target, TargetType

TEXTS = ["good film", "bad film", "great", "awful bad", "good good", "bad plot"] * 4
SENTIMENT = [1, 0, 1, 0, 1, 0] * 4
BINARY = Target(TargetType.BINARY, "t", ("1", "0"))
REGRESSION = Target(TargetType.REGRESSION, "t")


class Cleaner(TransformerMixin, BaseEstimator):
    """A transformer of its author's, which says nothing of what it takes."""

    def fit(self, data: Any, y: Any = None) -> "Cleaner":
        return self

    def transform(self, data: Any) -> list[str]:
        return [text.lower() for text in data]


def lower(texts: Any) -> Any:
    return [text.lower() for text in texts]


def model_of(estimator: Any, target: Target = BINARY, hooks: Hooks | None = None) -> StructuredModel:
    return StructuredModel(hooks or Hooks(), estimator, target)


def ask(model: StructuredModel, rows: list[dict[str, Any]]) -> list[float]:
    return [row[0] for row in model.predict(frame_of_rows(rows)).rows]


def fitted_on_texts(*steps: Any) -> Pipeline:
    return make_pipeline(*steps, LogisticRegression()).fit(pd.Series(TEXTS), SENTIMENT)


OF_TEXTS = {
    "count": lambda: fitted_on_texts(CountVectorizer()),
    "tfidf": lambda: fitted_on_texts(TfidfVectorizer()),
    "hashing": lambda: fitted_on_texts(HashingVectorizer(n_features=32)),
    "function before": lambda: fitted_on_texts(FunctionTransformer(lower), TfidfVectorizer()),
    "union": lambda: fitted_on_texts(FeatureUnion([("a", CountVectorizer()), ("b", TfidfVectorizer())])),
    "nested": lambda: make_pipeline(fitted_on_texts(CountVectorizer())[:-1], LogisticRegression()).fit(
        TEXTS, SENTIMENT
    ),
    "search": lambda: GridSearchCV(fitted_on_texts(CountVectorizer()), {"logisticregression__C": [1]}, cv=2).fit(
        TEXTS, SENTIMENT
    ),
    "calibrated": lambda: CalibratedClassifierCV(fitted_on_texts(CountVectorizer()), cv=2).fit(TEXTS, SENTIMENT),
    "voting": lambda: VotingClassifier([("a", fitted_on_texts(CountVectorizer()))], voting="soft").fit(
        TEXTS, SENTIMENT
    ),
}


@pytest.mark.parametrize("name", OF_TEXTS)
def test_texts_are_given_as_they_were_in_the_training(name: str) -> None:
    estimator = OF_TEXTS[name]()
    texts = ["good plot", "awful film", "text", "2024"]
    expected = estimator.predict_proba(texts)[:, 1].tolist()
    model = model_of(estimator)
    rows: list[dict[str, Any]] = [{"text": text} for text in texts]
    assert ask(model, rows) == pytest.approx(expected)
    assert [ask(model, [row])[0] for row in rows] == pytest.approx(expected)
    csv = "text\n" + "\n".join(texts) + "\n"
    assert [row[0] for row in model.predict(frame_of_csv(csv.encode())).rows] == pytest.approx(expected)
    assert ask(model, [{"text": 2024}]) == pytest.approx(expected[3:])


def test_a_text_that_is_missing_or_beside_others_is_refused() -> None:
    model = model_of(OF_TEXTS["tfidf"]())
    with pytest.raises(Refusal, match="'text' has no value in row 1"):
        ask(model, [{"text": "good"}, {"text": None}])
    with pytest.raises(Refusal, match="one column of texts; the data has 2 columns: 'text', 'id'"):
        ask(model, [{"text": "good", "id": 1}])


def test_rows_are_mappings_for_a_dict_vectorizer() -> None:
    rows: list[dict[str, Any]] = [{"city": "Rome", "size": 3}, {"city": "Oslo"}, {"size": 5, "zip": "100"}] * 4
    estimator = make_pipeline(DictVectorizer(), LinearRegression()).fit(rows, np.arange(12) % 3)
    model = model_of(estimator, REGRESSION)
    expected = estimator.predict(rows[:3])
    assert ask(model, rows[:3]) == pytest.approx(expected)
    assert [ask(model, [row])[0] for row in rows[:3]] == pytest.approx(expected)
    csv = b"city,size,zip\nRome,3,\nOslo,,\n,5,100\n"
    assert [row[0] for row in model.predict(frame_of_csv(csv)).rows] == pytest.approx(expected)
    assert ask(model, [{"city": "Rome", "size": "3"}]) == pytest.approx(expected[:1])


def test_rows_are_mappings_for_a_feature_hasher() -> None:
    rows = [{"city": "Rome", "size": 3.5}, {"city": "Oslo", "size": 1.0}] * 4
    estimator = make_pipeline(FeatureHasher(64), LinearRegression()).fit(rows, [1, 2] * 4)
    assert ask(model_of(estimator, REGRESSION), rows[:2]) == pytest.approx(estimator.predict(rows[:2]))


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (lambda: fitted_on_texts(Cleaner(), TfidfVectorizer()), "begins with a Cleaner"),
        (lambda: make_pipeline(CountVectorizer(input="filename"), LogisticRegression()), "reads files"),
        (lambda: make_pipeline(FeatureHasher(input_type="string"), LogisticRegression()), "takes lists"),
        (lambda: make_pipeline(MultiLabelBinarizer(), LogisticRegression()), "does not take tables"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_hook_to_copy(estimator: Any, words: str) -> None:
    made = estimator()
    with pytest.raises(LoadError, match=words) as caught:
        model_of(made)
    hook = caught.value.message[caught.value.message.index("import pandas") :]
    names: dict[str, Any] = {}
    exec(compile(hook, "custom.py", "exec"), names)  # noqa: S102  what the message tells the author to do
    if hasattr(made[0], "transform") and isinstance(made[0], Cleaner):
        model = model_of(made, hooks=Hooks(score=names["score"]))
        assert ask(model, [{"text": "Good"}, {"text": "bad"}]) == pytest.approx(
            made.predict_proba(["Good", "bad"])[:, 1]
        )


def test_tables_stay_tables() -> None:
    frame = pd.DataFrame({"text": TEXTS, "n": np.arange(24.0)})
    columns = make_column_transformer((TfidfVectorizer(), "text"), (StandardScaler(), ["n"]))
    estimator = make_pipeline(columns, LogisticRegression()).fit(frame, SENTIMENT)
    rows: list[dict[str, Any]] = json.loads(frame[:3].to_json(orient="records"))
    assert ask(model_of(estimator), rows) == pytest.approx(estimator.predict_proba(frame[:3])[:, 1])
    selector = FunctionTransformer(lambda data: data["text"])
    chosen = make_pipeline(selector, TfidfVectorizer(), LogisticRegression()).fit(frame, SENTIMENT)
    assert ask(model_of(chosen), rows) == pytest.approx(chosen.predict_proba(frame[:3])[:, 1])


NUMBERS = pd.DataFrame({"a": np.arange(12.0), "b": np.arange(12.0) % 5})


@pytest.mark.parametrize("estimator", [LinearRegression(), RandomForestRegressor(3)])
@pytest.mark.parametrize("data", [NUMBERS, NUMBERS.to_numpy()], ids=["frame", "array"])
def test_two_targets_are_no_regression(estimator: Any, data: Any) -> None:
    two = np.column_stack((NUMBERS["a"], NUMBERS["b"]))
    estimator.fit(data, two)
    with pytest.raises(LoadError, match="gives 2 values for each row; a Regression model gives one"):
        model_of(estimator, REGRESSION)
    hooks = Hooks(post_process=lambda predictions, model: predictions.iloc[:, 0])
    assert ask(model_of(estimator, REGRESSION, hooks), [{"a": 1.0, "b": 1.0}])


def test_a_model_of_positions_needs_as_many_columns() -> None:
    model = model_of(LinearRegression().fit(NUMBERS.to_numpy(), NUMBERS["a"]), REGRESSION)
    with pytest.raises(Refusal, match="takes 2 columns in the order of its training; the data has 3: 'id', 'a', 'b'"):
        ask(model, [{"id": 1, "a": 1.0, "b": 1.0}])


def test_classes_of_several_targets_are_refused() -> None:
    labels = np.column_stack((np.arange(12) % 2, np.arange(12) % 3))
    with pytest.raises(LoadError, match="predicts 2 targets at once"):
        model_of(RandomForestClassifier(3).fit(NUMBERS, labels))
