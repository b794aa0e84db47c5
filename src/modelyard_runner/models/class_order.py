"""Which class each nameless column of probabilities of an artifact stands for. Decided in docs/decisions/0040."""

import sys
from collections.abc import Sequence

from modelyard_runner.problems import LoadError, listing
from modelyard_runner.target import Target, TargetType, are_integers, sorted_labels

_NAMES_IN_HOOK = """

def post_process(predictions, model):
    predictions.columns = [{names}]  # the classes in the order of the model's outputs
    return predictions
"""


def declared_order(target: Target) -> tuple[str, ...]:
    """The class labels as the settings have them: (negative, positive), or the list of a multiclass target."""
    if target.kind is TargetType.BINARY:
        return (target.negative_label, target.positive_label)
    return target.labels


def library_order(target: Target, count: int, *, as_texts: bool = False) -> tuple[str, ...]:
    """The classes of a model whose library sorts them: numbers by value (not `as_texts`), texts by characters.

    `count` is how many classes the artifact has; a multiclass target without labels gets the numbers from 0. Raises
    LoadError when the labels set are more or fewer.
    """
    labels = declared_order(target) or tuple(str(place) for place in range(count))
    check_count(labels, count)
    return sorted_labels(labels, as_texts=as_texts)


def check_count(labels: Sequence[str], count: int) -> None:
    """Raise LoadError when a model has more or fewer classes than there are class labels."""
    if len(labels) != count:
        raise LoadError(
            f"The model has {count} classes; the class labels set are {listing(list(labels))}. Set the labels that it "
            "was trained on."
        )


def unlabelled_order(target: Target, what: str) -> tuple[str, ...]:
    """The classes of an artifact that says nothing about them: they are certain only where every convention agrees.

    Those are the numbers from 0, or labels whose order in the settings is the sorted one. Raises LoadError else.
    """
    declared = declared_order(target)
    ordered = sorted_labels(declared)
    if ordered == tuple(str(place) for place in range(len(declared))) or ordered == declared:
        return ordered
    names = ", ".join(map(repr, ordered))
    example = _NAMES_IN_HOOK.format(names=names)
    raise LoadError(
        f"{what} gives probabilities without names, and nothing in it says which class is which: by the settings the "
        f"order is {listing(list(declared))}, sorted it is {listing(list(ordered))}. Say it in custom.py:{example}"
    )


def report_order(order: Sequence[str], reason: str) -> None:
    """Write to the model's log which class each of its outputs is taken for."""
    sys.stdout.write(f"The model's classes, in the order of its outputs: {listing(list(order))} ({reason}).\n")


def refuse_texts(labels: Sequence[str], what: str) -> None:
    """Raise LoadError when a model whose classes are integers is served with labels that are none."""
    if labels and not are_integers(labels):
        raise LoadError(
            f"The classes of {what} are integers; the class labels set are {listing(list(labels))}. Set the labels "
            "that it was trained on, or name its outputs with a score hook in custom.py."
        )
