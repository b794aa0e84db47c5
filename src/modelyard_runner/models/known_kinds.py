"""What is known of a model's columns before it is asked: from the fitted model itself, else from an `example.csv`.

Only what is certain is said. Where a model may be given anything, its columns stay unknown.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard_runner.models.boosters import lightgbm_categories, xgboost_categories
from modelyard_runner.models.columns import UNKNOWN, Kind, Schema, kinds_of_texts
from modelyard_runner.models.fitted_input import takes_texts
from modelyard_runner.problems import LoadError, Refusal
from modelyard_runner.wire.rows import csv_table

EXAMPLE_FILE = "example.csv"

_NUMERIC_MODULES = frozenset({
    "cluster", "covariance", "cross_decomposition", "decomposition", "discriminant_analysis", "ensemble",
    "gaussian_process", "kernel_ridge", "linear_model", "manifold", "mixture", "naive_bayes", "neighbors",
    "neural_network", "svm", "tree",
})  # fmt: skip
"""Modules of scikit-learn whose estimators take nothing but numbers."""
_NUMERIC = frozenset({
    "Binarizer", "IterativeImputer", "KBinsDiscretizer", "KNNImputer", "MaxAbsScaler", "MinMaxScaler", "Normalizer",
    "PolynomialFeatures", "PowerTransformer", "QuantileTransformer", "RobustScaler", "SplineTransformer",
    "StandardScaler",
})  # fmt: skip
_WRAPPERS = ("best_estimator_", "regressor_")
_ONNX_KINDS = {"string": Kind.TEXT, "bool": Kind.BOOLEAN}

Kinds = list[Kind | None]
Names = Sequence[Any] | None


def schema_of(model: Any, code_dir: Path) -> Schema:
    """The kinds of a model's columns. Raises LoadError for an `example.csv` that cannot be read."""
    return schema_of_model(model).or_else(_schema_of_example(code_dir / EXAMPLE_FILE))


def _schema_of_example(path: Path) -> Schema:
    if not path.is_file():
        return UNKNOWN
    try:
        header, records = csv_table(path.read_text(encoding="utf-8-sig"))
    except Refusal as error:
        raise LoadError(f"{path.name} has to be a table with rows as they are sent to the model: {error}") from error
    except (OSError, UnicodeError) as error:
        raise LoadError(f"{path.name} cannot be read: {error}.") from error
    return kinds_of_texts(dict(zip(header, zip(*records, strict=True), strict=True)))


def schema_of_model(model: Any) -> Schema:
    """The kinds of columns that a model itself knows."""
    try:
        match type(model).__module__.partition(".")[0], type(model).__name__:
            case "onnxruntime", _:
                return _of_onnx(model)
            case "xgboost" | "lightgbm", "Booster":
                return _of_booster(model)
        if any(kind.__module__.partition(".")[0] == "torch" for kind in type(model).__mro__):
            return Schema(others=Kind.NUMBER)
        return _of_estimator(model)
    except Exception:  # noqa: BLE001  another version of the library: nothing is known
        return UNKNOWN


def _of_onnx(session: Any) -> Schema:
    kinds = {
        entry.name: _ONNX_KINDS.get(entry.type.removeprefix("tensor(").removesuffix(")"), Kind.NUMBER)
        for entry in session.get_inputs()
    }
    return Schema(others=next(iter(kinds.values()))) if len(kinds) == 1 else Schema(kinds)


def _of_booster(model: Any) -> Schema:
    if type(model).__module__.startswith("xgboost"):
        if model.feature_types is None:
            return Schema(others=Kind.NUMBER)
        names, categories = model.feature_names, xgboost_categories(model, is_prepared=True)
        numbers = {place for place, kind in enumerate(model.feature_types) if kind != "c"}
    else:
        if not getattr(model, "pandas_categorical", None):
            return Schema(others=Kind.NUMBER)
        names, categories = model.feature_name(), lightgbm_categories(model, is_prepared=True)
        numbers = set(range(len(names))) - categories.keys() if categories else set()
    kinds = dict.fromkeys(numbers, Kind.NUMBER)
    kinds |= {place: Kind.TEXT for place, each in categories.items() if _kind_of_values(each.values) is Kind.TEXT}
    return Schema({names[place]: kind for place, kind in sorted(kinds.items())})


def _of_estimator(model: Any) -> Schema:
    names = getattr(model, "feature_names_in_", None)
    count = getattr(model, "n_features_in_", None)
    if names is None:
        if takes_texts(model):
            return Schema(others=Kind.TEXT)
        if count is None:
            return UNKNOWN
        kinds = _kinds(model, None, count)
        return Schema(others=Kind.NUMBER) if kinds == [Kind.NUMBER] * count else UNKNOWN
    kinds = _kinds(model, list(names), len(names))
    return Schema({str(name): kind for name, kind in zip(names, kinds, strict=True) if kind is not None})


def _kinds(model: Any, names: Names, count: int) -> Kinds:
    """The kinds of the columns that a fitted estimator takes."""
    for wrapped in _WRAPPERS:
        if (inner := getattr(model, wrapped, None)) is not None:
            return _kinds(inner, names, count)
    root, _, rest = type(model).__module__.partition(".")
    name = type(model).__name__
    if root in {"xgboost", "lightgbm"}:
        return _of_wrapped_booster(model, names, count)
    if root != "sklearn":
        return [None] * count
    if takes_texts(model):
        return [Kind.TEXT] * count
    if (parts := _parts(model, name, rest)) is not None:
        return _agreed([_kinds(part, names, count) for part in parts])
    if name in _COMPOSITES:
        return _COMPOSITES[name](model, names, count)
    is_numeric = name in _NUMERIC or rest.partition(".")[0] in _NUMERIC_MODULES
    takes_categories = getattr(model, "is_categorical_", None) is not None
    return [Kind.NUMBER if is_numeric and not takes_categories else None] * count


def _parts(model: Any, name: str, module: str) -> list[Any] | None:
    """The fitted estimators of a model that all are given its own columns; None for a model without such."""
    if name == "FeatureUnion":
        return [part for _, part in model.transformer_list]
    if name == "CalibratedClassifierCV":
        return [part.estimator for part in model.calibrated_classifiers_]
    if name.startswith(("Voting", "Stacking", "Bagging")) or module.startswith("multi"):
        return list(np.ravel(np.asarray(model.estimators_, dtype=object)))
    return None


def _of_encoder(model: Any, _names: Names, _count: int) -> Kinds:
    return [_kind_of_values(values) for values in model.categories_]


def _of_imputer(model: Any, _names: Names, count: int) -> Kinds:
    return [Kind.NUMBER if np.asarray(model.statistics_).dtype.kind in "iuf" else None] * count


def _of_wrapped_booster(model: Any, names: Names, count: int) -> Kinds:
    booster = model.get_booster() if hasattr(model, "get_booster") else getattr(model, "booster_", None)
    if booster is None:
        return [None] * count
    schema = _of_booster(booster)
    own = booster.feature_names if hasattr(booster, "feature_names") else booster.feature_name()
    return [schema.kind(str(name)) for name in own or names or []] or [schema.others] * count


def _of_steps(steps: Sequence[Any], names: Names, count: int) -> Kinds:
    """The kinds for the first step; what it hands on as it is are those of the steps after it."""
    steps = [step for step in steps if step is not None and not (isinstance(step, str) and step == "passthrough")]
    if not steps:
        return [None] * count
    first, rest = steps[0], steps[1:]
    if type(first).__name__ == "ColumnTransformer":
        return _of_parts(first, names, count, rest)
    kinds = _kinds(first, names, count)
    keeps_columns = type(first).__name__ == "SimpleImputer" and not first.add_indicator
    if rest and keeps_columns and kinds == [None] * count:
        following = getattr(rest[0], "n_features_in_", None)
        return _of_steps(rest, None, count) if following == count else kinds
    return kinds


def _of_parts(model: Any, names: Names, count: int, rest: Sequence[Any] | None) -> Kinds:
    """The kinds for a ColumnTransformer. Columns that it hands on are numbers where what follows takes only numbers."""
    kinds: Kinds = [None] * count
    width = getattr(rest[0], "n_features_in_", None) if rest else None
    follows = set(_kinds(rest[0], None, width)) if rest and width else set()
    handed_on = Kind.NUMBER if follows == {Kind.NUMBER} else None
    for _, part, columns in model.transformers_:
        places = _places(columns, names, count)
        if isinstance(part, str):
            found: Kinds = [handed_on if part == "passthrough" else None] * len(places)
        elif type(part).__name__ == "FunctionTransformer" and part.func is None:
            found = [handed_on] * len(places)
        else:
            found = _kinds(part, [names[place] for place in places] if names else None, len(places))
        for place, kind in zip(places, found, strict=True):
            kinds[place] = kind if kinds[place] in {None, kind} else None
    return kinds


def _places(columns: Any, names: Names, count: int) -> list[int]:
    """The places of the columns that a part of a ColumnTransformer takes."""
    if isinstance(columns, slice):
        return list(range(count))[columns]
    chosen = [columns] if isinstance(columns, str | int) else list(columns)
    if chosen and all(isinstance(one, bool | np.bool_) for one in chosen):
        return [place for place, is_chosen in enumerate(chosen) if is_chosen]
    return [list(names or ()).index(one) if isinstance(one, str) else range(count)[one] for one in chosen]


def _agreed(all_kinds: Sequence[Kinds]) -> Kinds:
    """What all parts of a model say of each column; None where they differ."""
    return [kinds[0] if len(set(kinds)) == 1 else None for kinds in zip(*all_kinds, strict=True)]


def _kind_of_values(values: Iterable[Any]) -> Kind | None:
    """The kind of the categories that an encoder has seen."""
    types = {
        type(value)
        for value in np.asarray(values).tolist()
        if value is not None and not (isinstance(value, float) and np.isnan(value))
    }
    if types == {str}:
        return Kind.TEXT
    if types == {bool}:
        return Kind.BOOLEAN
    return Kind.NUMBER if types and types <= {int, float} else None


_COMPOSITES: dict[str, Callable[[Any, Names, int], Kinds]] = {
    "Pipeline": lambda model, names, count: _of_steps([step for _, step in model.steps], names, count),
    "ColumnTransformer": lambda model, names, count: _of_parts(model, names, count, None),
    "OneHotEncoder": _of_encoder,
    "OrdinalEncoder": _of_encoder,
    "TargetEncoder": _of_encoder,
    "SimpleImputer": _of_imputer,
}
