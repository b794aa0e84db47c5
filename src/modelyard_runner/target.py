"""What a model predicts: its target type, target name, class labels and threshold."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class TargetType(StrEnum):
    """The target types that are served, spelled as in the REST API."""

    BINARY = "Binary"
    REGRESSION = "Regression"
    MULTICLASS = "Multiclass"
    ANOMALY = "Anomaly"
    TEXT_GENERATION = "TextGeneration"
    TRANSFORM = "Transform"
    UNSTRUCTURED = "Unstructured"

    @classmethod
    def parse(cls, text: str) -> "TargetType":
        """Any spelling of a target type: `binary`, `Binary`, `text_generation`, `textgeneration`.

        Raises ValueError naming the known types.
        """
        wanted = _letters(text)
        for kind in cls:
            if _letters(kind.value) == wanted:
                return kind
        raise ValueError(f"unknown target type {text!r}; it is one of {', '.join(kind.value for kind in cls)}")


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)")
_BOOLEANS = {"true", "false"}

DEFAULT_NAMES = {TargetType.ANOMALY: "anomaly_score"}


@dataclass(frozen=True, slots=True)
class Target:
    """The prediction target.

    `labels` holds the class labels as strings: for a binary target (positive, negative), for a multiclass target
    the order of its class list; empty when they are not known before the model is loaded. `threshold` is the
    probability from which on (inclusive) a binary prediction is the positive class.
    """

    kind: TargetType
    name: str = ""
    labels: tuple[str, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        """Raise ValueError for settings that contradict each other."""
        if not (math.isfinite(self.threshold) and 0 <= self.threshold <= 1):
            raise ValueError(f"the threshold is {self.threshold}, it has to be from 0 to 1")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"class labels appear twice: {', '.join(self.labels)}")
        if self.kind is TargetType.BINARY and len(self.labels) not in {0, 2}:
            raise ValueError(f"a binary target has two class labels, got {len(self.labels)}")

    @property
    def shown_name(self) -> str:
        """The name that answers use for the target."""
        return self.name or DEFAULT_NAMES.get(self.kind, "target")

    @property
    def is_classification(self) -> bool:
        """Whether predictions are probabilities of classes."""
        return self.kind in {TargetType.BINARY, TargetType.MULTICLASS}

    @property
    def positive_label(self) -> str:
        """The positive class of a binary target."""
        return self.labels[0] if self.labels else "1"

    @property
    def negative_label(self) -> str:
        """The negative class of a binary target."""
        return self.labels[1] if self.labels else "0"


def label_text(label: object) -> str:
    """A class label as the string it is compared as: 1, 1.0 and numpy's 1 are all `1`."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def plain_form(text: str) -> str:
    """The one form of a text that is written like a number or a boolean: `1.0`, `1.00` and `1e0` are `1`.

    Leading zeros, signs and spaces make it another text: `01` stays as it is.
    """
    if _DECIMAL.fullmatch(text) is not None and _INTEGER.fullmatch(text) is None:
        return label_text(float(text))
    lower = text.lower()
    return lower if lower in _BOOLEANS else text


def match_labels(known: Sequence[str], labels: Sequence[str]) -> dict[str, str] | None:
    """Which class label each of the names that a model knows stands for; None unless each is another label.

    Equal texts match first, then equal numbers and booleans: the label `0.0` is the class 0.0 or 0.
    """
    by_form: dict[str, list[str]] = {}
    for label in labels:
        by_form.setdefault(plain_form(label), []).append(label)
    found: dict[str, str] = {}
    for name in known:
        alike = [name] if name in labels else by_form.get(plain_form(name), [])
        if len(alike) != 1:
            return None
        found[name] = alike[0]
    return found if len(set(found.values())) == len(known) else None


def sorted_labels(labels: Sequence[str], *, as_texts: bool = False) -> tuple[str, ...]:
    """Class labels in the order in which libraries sort classes: numbers by value, texts by their characters."""
    if not as_texts and all(_DECIMAL.fullmatch(label) is not None for label in labels):
        return tuple(sorted(labels, key=lambda label: int(label) if _INTEGER.fullmatch(label) else float(label)))
    return tuple(sorted(labels))


def are_integers(labels: Sequence[str]) -> bool:
    """Whether every label is written as an integer, or as a number that is one."""
    return all(_INTEGER.fullmatch(plain_form(label)) is not None for label in labels)
