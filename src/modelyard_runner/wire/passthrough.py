"""Input columns that are copied to the answer: those that a request asks for, and the association id."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard_runner.association import AssociationId
from modelyard_runner.problems import Refusal, listing
from modelyard_runner.wire.payload import Form, Payload, decode_text
from modelyard_runner.wire.query import PredictionQuery
from modelyard_runner.wire.rows import column_names, csv_header, csv_table, json_rows, verbatim_value


@dataclass(slots=True)
class Passthrough:
    """Input columns to copy: `rows` holds one value per name, typed for JSON answers or as text for CSV answers."""

    names: list[str]
    rows: list[Sequence[Any]]


def require_column(payload: Payload, column: str) -> None:
    """Raises Refusal 422 for data without the association id that the deployment requires."""
    match payload.form:
        case Form.JSON:
            lacking = [number for number, row in enumerate(json_rows(payload.body)) if column not in row]
            where = f"row {lacking[0]} of the data" if lacking else None
        case Form.CSV:
            where = None if column in csv_header(decode_text(payload.body, "utf-8")) else "the data"
        case _:
            where = "data that is neither CSV nor JSON"
    if where is not None:
        raise Refusal(422, f"The deployment requires the association id {column!r}, a column that {where} lacks.")


def passthrough_of(
    payload: Payload, query: PredictionQuery, association: AssociationId | None, *, as_text: bool
) -> Passthrough | None:
    """The input columns to copy: those of the query, in its order (all: in the input's), then the association id.

    CSV cells keep their exact text; in a JSON answer those that a number writes in the same way are that number.
    Raises Refusal 422 naming columns that the input lacks.
    """
    if not query.wants_passthrough and association is None:
        return None
    match payload.form:
        case Form.JSON:
            rows = json_rows(payload.body)
            names = _chosen(column_names(rows), query, association)
            return _copied(names, len(rows), lambda name: [row.get(name) for row in rows], association)
        case Form.CSV:
            header, records = csv_table(decode_text(payload.body, "utf-8"))
            names = _chosen(header, query, association)
            places = {name: place for place, name in reversed(list(enumerate(header)))}
            return _copied(
                names, len(records), lambda name: _csv_column(places, records, name), association, is_typed=not as_text
            )
    if not query.wants_passthrough:
        return None
    raise Refusal(422, "Columns can be passed through only from CSV and JSON input.")


def _chosen(there: list[str], query: PredictionQuery, association: AssociationId | None) -> list[str]:
    known = set(there)
    names = list(there if query.passthrough_all else query.passthrough_columns)
    unknown = [name for name in names if name not in known]
    if unknown and not (association and association.generates and unknown == [association.column]):
        raise Refusal(422, f"The passthrough columns {listing(unknown)} are not in the data.")
    if association is None or association.column in names:
        return names
    is_there = association.column in known or association.generates
    return [*names, association.column] if is_there else names


def _copied(
    names: list[str],
    row_count: int,
    column_of: Callable[[str], list[Any]],
    association: AssociationId | None,
    *,
    is_typed: bool = False,
) -> Passthrough | None:
    if not names:
        return None
    columns = []
    for name in names:
        column = column_of(name)
        if association is not None and association.generates and name == association.column:
            column = _with_ids(column or [None] * row_count)
        columns.append([verbatim_value(text) for text in column] if is_typed else column)
    return Passthrough(names, list(zip(*columns, strict=True)))


def _with_ids(column: list[Any]) -> list[Any]:
    return [str(uuid.uuid4()) if value is None or value == "" else value for value in column]


def _csv_column(places: Mapping[str, int], records: list[list[str]], name: str) -> list[str]:
    """The cells of a column; none where there is no such column."""
    place = places.get(name)
    return [] if place is None else [record[place] for record in records]
