"""A model for tables: rows in, checked predictions out, through the hooks of `custom.py` or a bare artifact."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from modelyard_runner.models.artifacts import load_artifact
from modelyard_runner.models.columns import UNKNOWN, Schema
from modelyard_runner.models.frames import Signature, frame_of_alike, frame_of_csv, frame_of_rows
from modelyard_runner.models.hooks import Hooks, accepted_keywords, call_user_code
from modelyard_runner.models.known_kinds import schema_of
from modelyard_runner.models.model_output import is_reordered, output_of
from modelyard_runner.models.predictors import Predictor, is_sparse, predictor_of
from modelyard_runner.problems import LoadError, ModelFault, listing
from modelyard_runner.target import Target, TargetType, label_text, match_labels
from modelyard_runner.wire.outputs import PREDICTIONS_COLUMN, Output, Predictions, check
from modelyard_runner.wire.payload import Form, Payload
from modelyard_runner.wire.rows import MAX_COLUMNS, Row, json_rows


class TableModel(ABC):
    """A loaded model that takes tables. Its methods are called from one thread only."""

    def __init__(self, hooks: Hooks, target: Target, schema: Schema = UNKNOWN) -> None:
        self.hooks = hooks
        self.target = target
        self.schema = schema
        self.max_columns = MAX_COLUMNS

    def frame_of(self, payload: Payload) -> Any:
        """The input of a request: a DataFrame, or whatever the model's `read_input_data` makes of the bytes."""
        if self.hooks.read_input_data is not None:
            return self.hooks.read_input_data(payload.body)
        if payload.form is Form.JSON:
            return self.frame_of_rows(json_rows(payload.body))
        return frame_of_csv(payload.body, self.schema, self.max_columns)

    def frame_of_rows(self, rows: list[Row]) -> pd.DataFrame:
        """The input of JSON rows."""
        return frame_of_rows(rows, self.schema, self.max_columns)

    def frame_of_alike(self, rows: Sequence[Row], signature: Signature) -> pd.DataFrame:
        """The input of JSON rows that are scored together. Raises OverflowError where they cannot be."""
        return frame_of_alike(rows, signature, self.schema, self.max_columns)

    @abstractmethod
    def predict(self, frame: Any) -> Predictions:
        """Score a frame and check what comes back. Raises ModelFault, and whatever the model's code raises."""


class StructuredModel(TableModel):
    """The model of one code folder: its hooks, or a bare artifact."""

    def __init__(self, hooks: Hooks, model: Any, target: Target, schema: Schema = UNKNOWN) -> None:
        self._model = model
        self._predictor: Predictor | None = None
        self._hook_transforms = (
            target.kind is TargetType.TRANSFORM and hooks.transform is not None and hooks.score is None
        )
        """The transform hook is the whole model: its answer is the answer (C.8)."""
        if hooks.score is None and not self._hook_transforms:
            self._predictor = predictor_of(
                model, target, is_final=hooks.post_process is None, is_prepared=hooks.transform is not None
            )
            target = _with_labels(target, self._predictor.labels)
        super().__init__(hooks, target, schema)
        self._score_keywords: dict[str, Any] = {}
        if hooks.score is not None:
            offered: dict[str, Any] = {}
            if target.kind is TargetType.BINARY:
                offered = {
                    "positive_class_label": target.positive_label,
                    "negative_class_label": target.negative_label,
                }
            elif target.kind is TargetType.MULTICLASS:
                offered = {"class_labels": list(target.labels)}
            self._score_keywords = accepted_keywords(hooks.score, offered)

    def predict(self, frame: Any) -> Predictions:
        """Score a frame (without the target's column, should it be there) and check what comes back.

        Raises ModelFault for a wrong answer of the model, and whatever the model's code raises.
        """
        hooks, target = self.hooks, self.target
        is_frame = isinstance(frame, pd.DataFrame)
        if not is_frame and not is_sparse(frame) and hooks.score is None:
            raise ModelFault(
                f"read_input_data returned a {type(frame).__name__}; without a score hook it returns a DataFrame."
            )
        row_count = frame.shape[0] if hasattr(frame, "shape") else len(frame)
        if is_frame and target.name and target.name in frame.columns:
            frame = frame.drop(columns=[target.name])
        given = frame.index if is_frame else None
        if hooks.transform is not None:
            frame = hooks.transform(frame, self._model)
            _check_order(frame, given, "transform returned")
        if self._hook_transforms:
            output = output_of(frame, target.kind, given)
        elif self._predictor is not None:
            if not isinstance(frame, pd.DataFrame) and not is_sparse(frame):
                raise ModelFault(f"transform returned a {type(frame).__name__}; it has to return a DataFrame.")
            output = self._predictor.predict(frame)
        elif hooks.score is not None:
            output = output_of(hooks.score(frame, self._model, **self._score_keywords), target.kind, given)
            _check_order(frame, given, "score sorted")
        if hooks.post_process is not None:
            result = hooks.post_process(self._as_frame(output), self._model)
            output = output_of(result, target.kind, pd.RangeIndex(row_count))
        return check(target, self._with_set_labels(output), row_count)

    def _with_set_labels(self, output: Output) -> Output:
        """The output with its columns named as the class labels are set: the class 0.0 is the label `0.0` or `0`."""
        labels, names = self.target.labels, output.columns
        if not self.target.is_classification or not labels or names is None:
            return output
        texts = [label_text(name) for name in names]
        if not set(texts) <= set(labels):
            matched = match_labels(texts, labels)
            if matched is not None:
                return Output(output.rows, [matched[text] for text in texts])
        return output

    def _as_frame(self, output: Output) -> pd.DataFrame:
        """A model's output as the frame that `post_process` gets: named columns also where the model gave no names."""
        names = output.columns
        if names is None and output.rows:
            labels = list(self.target.labels)
            if self.target.kind is TargetType.BINARY:
                labels = [self.target.negative_label, self.target.positive_label]
            width = len(output.rows[0])
            if width == 1:
                names = [self.target.positive_label if self.target.is_classification else PREDICTIONS_COLUMN]
            elif width == len(labels):
                names = labels
        return pd.DataFrame(output.rows, columns=names)


def _check_order(frame: Any, given: "pd.Index[Any] | None", what: str) -> None:
    """Refuse rows in another order than they were given in: they would be taken for those of other rows."""
    if given is not None and isinstance(frame, pd.DataFrame) and is_reordered(frame.index, given):
        raise ModelFault(f"{what} the rows in another order than it was given them.")


def load_structured_model(code_dir: Path, hooks: Hooks, target: Target) -> StructuredModel:
    """Load a model from its code folder: by its `load_model`, else from the one serialized model at the root.

    Raises LoadError with the reason.
    """
    if hooks.load_model is not None:
        model = call_user_code("load_model", hooks.load_model, str(code_dir))
        if model is None:
            raise LoadError("load_model returned None; it has to return the model.")
    else:
        model = load_artifact(code_dir, required=hooks.score is None)
    schema = schema_of(model, code_dir)
    return call_user_code("Preparing the model", StructuredModel, hooks, model, target, schema)  # type: ignore[no-any-return]


def _with_labels(target: Target, known: tuple[str, ...]) -> Target:
    """The target with the class labels of the model where none are set; LoadError where the two differ."""
    if not target.is_classification or not known:
        return target
    if not target.labels:
        if target.kind is TargetType.BINARY and len(known) != 2:
            raise LoadError(f"A binary model has two classes; this model's are {listing(known)}.")
        labels = tuple(reversed(known)) if target.kind is TargetType.BINARY else known
        return dataclasses.replace(target, labels=labels)
    if len(known) != len(target.labels) or match_labels(known, target.labels) is None:
        raise LoadError(f"The model's classes are {listing(known)}; the class labels set are {listing(target.labels)}.")
    return target
