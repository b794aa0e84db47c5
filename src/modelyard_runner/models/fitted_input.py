"""What a fitted scikit-learn estimator takes: tables, one column of texts, or rows as mappings.

Told from the fitted object: from the first step of a pipeline, and from the estimators inside of one that wraps others.
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Any

import pandas as pd

from modelyard_runner.models.cell_values import is_missing
from modelyard_runner.problems import LoadError, Refusal, listing
from modelyard_runner.target import label_text

_WRAPPED = ("best_estimator_", "estimator_", "regressor_")
_SEVERAL = {
    "CalibratedClassifierCV",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "OneVsRestClassifier",
    "StackingClassifier",
    "StackingRegressor",
    "VotingClassifier",
    "VotingRegressor",
}
"""Those that hand their input on to several estimators as it is."""
_OF_TEXTS = {"CountVectorizer", "TfidfVectorizer", "HashingVectorizer"}
_OF_ONE_COLUMN = {"LabelEncoder", "LabelBinarizer"}
_OF_NO_TABLE = {"MultiLabelBinarizer", "PatchExtractor"}
_ADVICE = """

import pandas as pd


def score(data, model, **kwargs):
    rows = data["text"].tolist()  # what the model was fitted on
    return pd.DataFrame(model.{method}(rows){columns})
"""


class InputForm(Enum):
    """The form of a model's input."""

    TABLE = auto()
    TEXTS = auto()
    COLUMN = auto()
    MAPPINGS = auto()


class FittedInput:
    """Turns frames into what an estimator was fitted on. `method` is the one that will be called.

    Raises LoadError for an estimator whose input cannot be told or made of a table; one whose input a hook prepares
    (`is_prepared`) then gets what the hook makes.
    """

    def __init__(self, model: Any, method: str, *, is_prepared: bool = False) -> None:
        found = _form_of(model)
        if isinstance(found, str) and is_prepared:
            found = InputForm.TABLE
        if isinstance(found, str):
            columns = ", columns=model.classes_" if method == "predict_proba" else ""
            example = _ADVICE.format(method=method, columns=columns)
            raise LoadError(f"{found} Give it its input in custom.py:{example}")
        self.form = found
        self._vocabulary = _vocabulary_of(model) if found is InputForm.MAPPINGS else None

    def of(self, frame: pd.DataFrame) -> Any:
        """The rows of a frame in the model's form. Raises Refusal 422 naming the row or the columns."""
        if self.form is InputForm.MAPPINGS:
            return [self._mapping(row) for row in frame.to_dict("records")]
        if len(frame.columns) != 1:
            given = listing([str(name) for name in frame.columns])
            what = "texts" if self.form is InputForm.TEXTS else "values"
            raise Refusal(
                422,
                f"The model was fitted on one column of {what}; the data has {len(frame.columns)} columns: {given}. "
                "Send that column alone.",
            )
        column = frame.iloc[:, 0]
        return column if self.form is InputForm.COLUMN else _texts(column)

    def _mapping(self, row: dict[Any, Any]) -> dict[str, Any]:
        """A row without its missing cells: a cell that is missing is one that the mapping does not have."""
        present = {str(name): cell for name, cell in row.items() if not is_missing(cell)}
        known = self._vocabulary
        if known is None:
            return present
        return {name: known.cell(name, cell) for name, cell in present.items()}


class _Vocabulary:
    """Which features of a DictVectorizer are numbers, and which are texts."""

    def __init__(self, names: list[str], separator: str) -> None:
        self._numbers = set(names)
        self._texts = {name.split(separator, 1)[0] for name in names if separator in name}

    def cell(self, name: str, cell: Any) -> Any:
        """The cell as the number or the text it was in training; as it is where both or neither were seen."""
        if (name in self._numbers) == (name in self._texts):
            return cell
        if name in self._texts:
            return label_text(cell)
        if not isinstance(cell, str):
            return cell
        try:
            return float(cell)
        except ValueError:
            return cell


def _texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    cells = column.tolist()
    for row, cell in enumerate(cells):
        if is_missing(cell):
            raise Refusal(422, f"The column {column.name!r} has no value in row {row}; the model takes texts.")
    return pd.Series([label_text(cell) for cell in cells], name=column.name, dtype=object)


def _vocabulary_of(model: Any) -> _Vocabulary | None:
    names = getattr(_leaf(model), "feature_names_", None)
    return _Vocabulary([str(name) for name in names], _leaf(model).separator) if names is not None else None


def _leaf(model: Any) -> Any:
    """The estimator that gets the rows first."""
    while (inner := next(_inner(model), None)) is not None:
        model = inner
    return model


def _inner(model: Any) -> Iterator[Any]:
    """The estimators inside of one that hands its input on to them."""
    kinds = _kinds(model)
    if "Pipeline" in kinds:
        yield from (step for _, step in model.steps[:1] if step not in {None, "passthrough"})
        return
    if "FeatureUnion" in kinds:
        yield from (part for _, part in model.transformer_list if part not in {"drop", "passthrough"})
        return
    for name in _WRAPPED if kinds else ():
        if hasattr(inner := _attribute(model, name), "fit"):
            yield inner
            return
    if kinds & _SEVERAL:
        several = _attribute(model, "estimators_") or _attribute(model, "calibrated_classifiers_") or []
        yield from (getattr(each, "estimator", each) if not hasattr(each, "fit") else each for each in several[:1])


def takes_texts(model: Any) -> bool:
    """Whether a fitted estimator takes one column of texts."""
    return _form_of(model) is InputForm.TEXTS


def _form_of(model: Any) -> InputForm | str:
    """The form of a model's input, or why it cannot be told or made of a table."""
    kinds = _kinds(model)
    if "Pipeline" in kinds:
        return _form_of_steps([step for _, step in model.steps if step is not None and step != "passthrough"])
    inner = list(_inner(model))
    if inner:
        forms = {_form_of(each) for each in inner}
        return forms.pop() if len(forms) == 1 else f"The parts of the {type(model).__name__} take different inputs."
    return _form_of_leaf(model, kinds)


def _form_of_steps(steps: list[Any]) -> InputForm | str:
    if not steps:
        return InputForm.TABLE
    first = _form_of(steps[0])
    if first is not InputForm.TABLE or len(steps) == 1 or _is_fitted_on_table(steps[0]):
        return first
    following = _form_of_steps(steps[1:])
    if following is InputForm.TABLE:
        return first
    if "FunctionTransformer" in _kinds(steps[0]):
        return following
    name = type(steps[0]).__name__
    return f"The pipeline begins with a {name}, and whether it takes a table or its rows cannot be told."


def _form_of_leaf(model: Any, kinds: set[str]) -> InputForm | str:
    name = type(model).__name__
    if kinds & _OF_TEXTS:
        source = getattr(model, "input", "content")
        return InputForm.TEXTS if source == "content" else f"The {name} reads files (input={source!r}), not a table."
    if "DictVectorizer" in kinds:
        return InputForm.MAPPINGS
    if "FeatureHasher" in kinds:
        kind = getattr(model, "input_type", "dict")
        return InputForm.MAPPINGS if kind == "dict" else f"The {name} takes lists (input_type={kind!r}), not a table."
    if kinds & _OF_ONE_COLUMN:
        return InputForm.COLUMN
    if kinds & _OF_NO_TABLE:
        return f"The {name} does not take tables."
    return InputForm.TABLE


def _is_fitted_on_table(model: Any) -> bool:
    return _attribute(model, "n_features_in_") is not None or _attribute(model, "feature_names_in_") is not None


def _attribute(model: Any, name: str) -> Any:
    """A fitted attribute; None where the model has none."""
    try:
        return getattr(model, name, None)
    except Exception:  # noqa: BLE001  a property of somebody's class
        return None


def _kinds(model: Any) -> set[str]:
    """The names of a model's classes of scikit-learn (and of imbalanced-learn, whose pipeline is the same)."""
    modules = ("sklearn", "imblearn")
    return {kind.__name__ for kind in type(model).__mro__ if kind.__module__.partition(".")[0] in modules}
