"""The import names by which published tasks ask for the base classes of `CustomTask`; the classes are our own.

None of them is needed: a task is what has the methods. They give a task the saving of itself, of which it may leave
out what cannot be pickled.
"""

import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "AnomalyEstimatorInterface",
    "BinaryEstimatorInterface",
    "CustomTaskInterface",
    "EstimatorInterface",
    "MulticlassEstimatorInterface",
    "RegressionEstimatorInterface",
    "Serializable",
    "TransformerInterface",
]

FILE_NAME = "custom_task.pkl"

Self = TypeVar("Self", bound="Serializable")


class Serializable:
    """Saves itself in a folder, and is loaded from it."""

    def save(self, artifact_directory: str) -> "Serializable":
        """Save the task."""
        return self.save_task(artifact_directory)

    @classmethod
    def load(cls: type[Self], artifact_directory: str) -> Self:
        """Load what `save` saved."""
        return cls.load_task(artifact_directory)

    def save_task(self: Self, artifact_directory: str, exclude: Iterable[str] = ()) -> Self:
        """Save the task but for the attributes in `exclude`, which are None in the file."""
        kept = self.__dict__.copy()
        left_out = set(exclude or ())
        state = {name: None if name in left_out else value for name, value in kept.items()}
        with (Path(artifact_directory) / FILE_NAME).open("wb") as file:
            pickle.dump(state, file, protocol=pickle.HIGHEST_PROTOCOL)
        return self

    @classmethod
    def load_task(cls: type[Self], artifact_directory: str) -> Self:
        """Load what `save_task` saved."""
        task = cls.__new__(cls)
        with (Path(artifact_directory) / FILE_NAME).open("rb") as file:
            task.__dict__.update(pickle.load(file))  # noqa: S301  the task's own
        return task


class CustomTaskInterface(Serializable):
    """Any task."""

    def fit(self, X: Any, y: Any, **kwargs: Any) -> None:  # noqa: N803  the name is the contract's
        """Learn from the rows of X and their targets y."""
        raise NotImplementedError

    def log_message(self, message: object) -> None:
        """Write a line to the log."""
        sys.stdout.write(f"{message}\n")


class TransformerInterface(CustomTaskInterface):
    """A task with `transform`."""


class EstimatorInterface(CustomTaskInterface):
    """A task with `predict` or `predict_proba`."""


class RegressionEstimatorInterface(EstimatorInterface):
    """A regression: `predict`."""


class BinaryEstimatorInterface(EstimatorInterface):
    """A classification into two classes: `predict_proba`."""


class MulticlassEstimatorInterface(EstimatorInterface):
    """A classification into several classes: `predict_proba`."""


class AnomalyEstimatorInterface(EstimatorInterface):
    """A detection of anomalies: `predict`."""
