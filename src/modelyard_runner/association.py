"""The association id of a deployment: the column by which what really happened is later found to each prediction."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AssociationId:
    """`column` is copied to every answer.

    `is_required`: a request without the column is refused. `generates`: else rows that have no id are given one.
    """

    column: str
    is_required: bool = False
    generates: bool = False
