"""Boosters of XGBoost and LightGBM: files without the scikit-learn estimator around them."""

import importlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from modelyard_runner.models.cell_values import Categories, float_column, float_matrix
from modelyard_runner.models.class_order import library_order, report_order
from modelyard_runner.models.features import FeatureColumns, is_sparse
from modelyard_runner.models.model_output import output_of
from modelyard_runner.problems import LoadError, listing
from modelyard_runner.target import Target, TargetType
from modelyard_runner.wire.outputs import Output

XGBOOST_PROBABILITIES = {"binary:logistic", "reg:logistic", "multi:softprob"}
LIGHTGBM_PROBABILITIES = {"binary", "cross_entropy", "xentropy", "multiclass", "softmax"}
XGBOOST_UNSEEN = 2.0**23
"""The code of a value that is no category: one that no split has chosen, as XGBoost documents it."""
STORES_CATEGORIES = (3, 1)
"""The first version of XGBoost whose files hold the names of categories."""

_GENERIC_NAME = re.compile(r"Column_\d+")
_CATEGORIES_IN_HOOK = """

import pandas as pd

CATEGORIES = {{"{column}": ["first", "second"]}}  # as in the training, in its order


def transform(data, model):
    for column, categories in CATEGORIES.items():
        codes = pd.Categorical(data[column], categories=categories).codes
        data[column] = codes.astype("float").where(codes >= 0)
    return data
"""


def coded_matrix(frame: pd.DataFrame, categories: dict[int, Categories], unseen: float) -> Any:
    """The cells of a frame as float64, those of its columns of categories as their codes."""
    if not categories:
        return float_matrix(frame)
    columns = []
    for place, name in enumerate(frame.columns):
        column, known = frame.iloc[:, place], categories.get(place)
        columns.append(float_column(column, str(name)) if known is None else known.codes(column, unseen))
    return np.column_stack(columns)


class BoosterPredictor(ABC):
    """A booster: takes float64 columns, categories as their codes, and gives values or probabilities."""

    def __init__(
        self,
        features: FeatureColumns,
        categories: dict[int, Categories],
        columns: Sequence[str] | None,
        unseen: float,
    ) -> None:
        """Take what is known of the input and the output; `unseen` is the code of a value that is no category."""
        self.labels: tuple[str, ...] = tuple(columns) if columns is not None and len(columns) > 1 else ()
        self._features = features
        self._categories = categories
        self._columns = list(columns) if columns is not None else None
        self._unseen = unseen

    def predict(self, frame: pd.DataFrame) -> Output:
        """The booster's output for a frame, not yet checked."""
        selected = self._features.select(frame)
        values = self._call(selected if is_sparse(selected) else coded_matrix(selected, self._categories, self._unseen))
        columns = self._columns
        if columns is not None and len(columns) == 2 and values.ndim == 1:
            values = np.column_stack((1 - values, values))
        output = output_of(values)
        output.columns = columns
        return output

    @abstractmethod
    def _call(self, matrix: Any) -> Any:
        """Return the booster's own answer for a matrix of float64."""


class XGBoostPredictor(BoosterPredictor):
    """An XGBoost booster, up to its best iteration where it was trained with early stopping."""

    def __init__(self, booster: Any, target: Target, *, is_final: bool = True, is_prepared: bool = False) -> None:
        """Take a booster. `is_prepared`: a hook numbers the categories whose names the booster does not know."""
        learner = json.loads(booster.save_config())["learner"]
        sizes = learner["learner_model_param"]
        columns = _columns(
            target,
            _Objective(
                "XGBoost",
                learner["objective"]["name"],
                classes=max(1, int(sizes["num_class"])),
                targets=int(sizes.get("num_target", 1)),
            ),
            XGBOOST_PROBABILITIES,
            is_final=is_final,
        )
        features = FeatureColumns(booster.feature_names, booster.num_features())
        super().__init__(features, xgboost_categories(booster, is_prepared=is_prepared), columns, XGBOOST_UNSEEN)
        self._booster = booster
        self._matrix_type = importlib.import_module("xgboost").DMatrix
        self._range = _iterations(booster, learner["gradient_booster"].get("name", "gbtree"))

    def _call(self, matrix: Any) -> Any:
        return self._booster.predict(self._matrix_type(matrix), iteration_range=self._range, validate_features=False)


class LightGBMPredictor(BoosterPredictor):
    """A LightGBM booster, up to its best iteration where it knows one (a file ends with it)."""

    def __init__(self, booster: Any, target: Target, *, is_final: bool = True, is_prepared: bool = False) -> None:
        """Take a booster. `is_prepared`: a hook numbers the categories if it is not clear whose they are."""
        header = _lightgbm_header(booster)
        objective = header.get("objective", "none").partition(" ")[0]
        columns = _columns(
            target,
            _Objective("LightGBM", objective, classes=int(header.get("num_class", 1)), targets=1),
            LIGHTGBM_PROBABILITIES,
            is_final=is_final,
        )
        super().__init__(
            lightgbm_features(booster), lightgbm_categories(booster, is_prepared=is_prepared), columns, math.nan
        )
        self._booster = booster

    def _call(self, matrix: Any) -> Any:
        return self._booster.predict(matrix)


class _Objective:
    """What a booster was trained for; `width` is how many values it gives for a row."""

    def __init__(self, library: str, name: str, *, classes: int, targets: int) -> None:
        self.library = library
        self.name = name
        self.targets = targets
        self.width = 1 if name == "multi:softmax" else max(classes, targets)


def _columns(target: Target, objective: _Objective, probabilities: set[str], *, is_final: bool) -> list[str] | None:
    """The classes of the output's columns, None for a target without classes. Raises LoadError for a wrong output."""
    if not target.is_classification:
        if is_final:
            _check_number(target, objective)
        return None
    if objective.name not in probabilities or objective.targets > 1:
        if not is_final:
            return None
        raise LoadError(_no_probabilities(target, objective))
    order = library_order(target, max(2, objective.width))
    report_order(order, f"sorted, as classes of {objective.library} are numbered")
    return list(order)


def _check_number(target: Target, objective: _Objective) -> None:
    if target.kind is TargetType.TEXT_GENERATION:
        raise LoadError(f"The model gives numbers; a {target.kind} model gives texts. Write a score hook in custom.py.")
    if objective.width > 1 and target.kind in {TargetType.REGRESSION, TargetType.ANOMALY}:
        raise LoadError(
            f"The model gives {objective.width} values for each row (objective {objective.name}); a {target.kind} "
            "model gives one. Change the target type, or choose one with a score hook in custom.py."
        )


def _no_probabilities(target: Target, objective: _Objective) -> str:
    advice = {
        "multi:softmax": "train with the objective multi:softprob, whose trees are the same",
        "binary:hinge": "train with the objective binary:logistic",
        "binary:logitraw": "train with the objective binary:logistic, whose trees are the same",
        "multiclassova": "train with the objective multiclass: the values of multiclassova do not sum to 1",
        "ova": "train with the objective multiclass",
    }.get(objective.name, "train with an objective that gives probabilities")
    return (
        f"The model's objective {objective.name} gives no probabilities, which a {target.kind} model needs: {advice}, "
        "or make them in a score hook in custom.py."
    )


def _iterations(booster: Any, kind: str) -> tuple[int, int]:
    """The trees to use: those up to the best iteration, if one was saved (as XGBoost's own estimators do)."""
    best = booster.attributes().get("best_iteration")
    return (0, 0) if best is None or kind == "gblinear" else (0, int(best) + 1)


def xgboost_categories(booster: Any, *, is_prepared: bool = False) -> dict[int, Categories]:
    """The categories of an XGBoost booster's columns, by place.

    Raises LoadError for a file that has columns of categories without their names, unless a hook numbers them.
    """
    kinds = booster.feature_types or []
    if "c" not in kinds:
        return {}
    content = json.loads(booster.save_raw("json"))
    # a model of a weighted sum of others has its trees one level down
    model = content["learner"]["gradient_booster"]
    stored = model.get("model", model.get("gbtree", {}).get("model", {})).get("cats", {}).get("enc", [])
    if not stored:
        return {} if is_prepared else _unnamed_categories(booster, kinds)
    return {place: Categories(_category_values(each)) for place, each in enumerate(stored) if kinds[place] == "c"}


def _unnamed_categories(booster: Any, kinds: list[str]) -> dict[int, Categories]:
    """Codes are categories themselves where the model was trained on an array of them, which has no names."""
    if booster.feature_names is None:
        return {}
    places = [place for place, kind in enumerate(kinds) if kind == "c"]
    names = [booster.feature_names[place] for place in places]
    first, second = STORES_CATEGORIES
    example = _CATEGORIES_IN_HOOK.format(column=names[0])
    raise LoadError(
        f"The columns {listing(names)} hold categories, and the file does not say which: files of XGBoost before "
        f"{first}.{second} have only their numbers. Train with XGBoost {first}.{second} or later, or number them in "
        f"custom.py:{example}"
    )


def _category_values(stored: dict[str, Any]) -> list[Any]:
    values = stored.get("values", [])
    if "offsets" not in stored:
        return list(values)
    offsets, content = stored["offsets"], bytes(value % 256 for value in values)
    return [content[start:stop].decode() for start, stop in pairwise(offsets)]


def _lightgbm_header(booster: Any) -> dict[str, str]:
    """The first lines of a LightGBM file: `num_class`, `objective`, `feature_infos` and more."""
    lines = booster.model_to_string(num_iteration=1).split("\n\n", 1)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def lightgbm_features(booster: Any) -> FeatureColumns:
    """The columns of a LightGBM booster, which writes blanks in names as underscores, and invents names for arrays."""
    names = booster.feature_name()
    is_positional = all(_GENERIC_NAME.fullmatch(name) is not None for name in names)
    return FeatureColumns(names, len(names), rewrite=lambda name: name.replace(" ", "_"), is_positional=is_positional)


def lightgbm_categories(booster: Any, *, is_prepared: bool = False) -> dict[int, Categories]:
    """The categories of a LightGBM booster's columns, by place.

    Raises LoadError when it is not clear whose they are, unless a hook numbers them.
    """
    stored = booster.pandas_categorical
    if not stored:
        return {}
    header = _lightgbm_header(booster)
    infos = header.get("feature_infos", "").split()
    names = booster.feature_name()
    candidates = [_named_places(booster.params.get("categorical_feature"), names)]
    candidates.append([place for place, info in enumerate(infos) if info != "none" and not info.startswith("[")])
    for places in candidates:
        if len(places) == len(stored) and all(
            _fits(infos[place], len(values)) for place, values in zip(places, stored, strict=True)
        ):
            return {place: Categories(values) for place, values in zip(places, stored, strict=True)}
    if is_prepared:
        return {}
    example = _CATEGORIES_IN_HOOK.format(column=names[0])
    raise LoadError(
        f"The model was trained on {len(stored)} columns of categories, and the file does not say which they are. "
        f"Number them in custom.py:{example}"
    )


def _named_places(parameter: Any, names: list[str]) -> list[int]:
    """The parameter `categorical_feature` as places in order."""
    listed = parameter if isinstance(parameter, list) else str(parameter or "").split(",")
    texts = [str(each) for each in listed if str(each)]
    return sorted(
        int(each) if each.isdigit() else names.index(each) for each in texts if each.isdigit() or each in names
    )


def _fits(info: str, count: int) -> bool:
    """Whether the codes that a column had in training are those of `count` categories."""
    if info == "none":
        return True
    codes = info.split(":")
    return not info.startswith("[") and all(code.lstrip("-").isdigit() and int(code) < count for code in codes)
