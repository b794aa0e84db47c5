"""What is known of a model's columns before it is asked: from the estimator, or from an example."""

from typing import Any

import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from modelyard_runner.models.columns import UNKNOWN, Kind, Schema, kinds_of_texts
from modelyard_runner.models.known_kinds import schema_of_model

FRAME = pd.DataFrame({"c": ["1", "2", "x", "y"], "n": [1.0, 2.0, 3.0, 4.0], "b": [True, False, True, False]})
N, T, B = Kind.NUMBER, Kind.TEXT, Kind.BOOLEAN
WORDS = TfidfVectorizer(token_pattern=r"\S+")
ENCODER, IMPUTER = OneHotEncoder(handle_unknown="ignore"), SimpleImputer(strategy="most_frequent")


def columns(*parts: Any, **options: Any) -> ColumnTransformer:
    return ColumnTransformer([(str(number), *part) for number, part in enumerate(parts)], **options)


@pytest.mark.parametrize(
    ("model", "names", "kinds"),
    [
        (LinearRegression(), ["n", "b"], {"n": N, "b": N}),
        (make_pipeline(StandardScaler(), RandomForestRegressor(2)), ["n"], {"n": N}),
        (make_pipeline(OneHotEncoder(), Ridge()), ["c", "n", "b"], {"c": T, "n": N, "b": B}),
        (make_pipeline(columns((ENCODER, ["c"]), remainder="passthrough"), Ridge()), ["c", "n"], {"c": T, "n": N}),
        (make_pipeline(columns((ENCODER, [0]), (StandardScaler(), [1])), Ridge()), ["c", "n"], {"c": T, "n": N}),
        (make_pipeline(columns((make_pipeline(IMPUTER, ENCODER), ["c"])), Ridge()), ["c", "n"], {"c": T}),
        (GridSearchCV(make_pipeline(columns((ENCODER, ["c"])), Ridge()), {}, cv=2), ["c"], {"c": T}),
        (make_pipeline(FeatureUnion([("1", ENCODER), ("2", OrdinalEncoder())]), Ridge()), ["c"], {"c": T}),
        (make_pipeline(FunctionTransformer(lambda frame: frame[["n"]]), Ridge()), ["c", "n"], {}),
        (HistGradientBoostingRegressor(categorical_features=[0]), ["n"], {}),
        (
            make_pipeline(columns((WORDS, "c"), (StandardScaler(), ["n"])), Ridge()),
            ["c", "n"],
            {"c": T, "n": N},
        ),
    ],
)
def test_what_an_estimator_knows_of_its_columns(model: Any, names: list[str], kinds: dict[str, Kind]) -> None:
    assert schema_of_model(model.fit(FRAME[names], FRAME["n"])) == Schema(kinds)


def test_what_an_estimator_knows_that_was_fitted_on_an_array() -> None:
    assert schema_of_model(LinearRegression().fit(FRAME[["n"]].to_numpy(), FRAME["n"])) == Schema(others=N)
    assert schema_of_model(make_pipeline(OneHotEncoder(), Ridge()).fit(FRAME[["c"]].to_numpy(), FRAME["n"])) == UNKNOWN
    assert schema_of_model(object()) == UNKNOWN


def test_a_pipeline_of_texts_takes_texts() -> None:
    texts, numbers = pd.Series(["1.50", "two", "three", "1.5"]), FRAME["n"]
    assert schema_of_model(make_pipeline(TfidfVectorizer(), Ridge()).fit(texts, numbers)) == Schema(others=T)
    search = GridSearchCV(make_pipeline(TfidfVectorizer(), Ridge()), {}, cv=2)
    assert schema_of_model(search.fit(texts, numbers)) == Schema(others=T)


def test_what_an_example_says() -> None:
    example = {"n": ["1", "2.5", ""], "id": ["007", "8"], "b": ["TRUE", "NA"], "c": ["TRUE", "maybe"], "no": ["", "NA"]}
    assert kinds_of_texts(example) == Schema({"n": N, "id": T, "b": B, "c": T})
