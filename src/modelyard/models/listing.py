"""Lists of custom models: those that the caller may view, filtered and in order (seed 001)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.identity import sharing
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, of_items, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import read_bool
from modelyard.models import usage
from modelyard.models.schemas import CustomModelListQuery, CustomModelResponse
from modelyard.models.service import KIND
from modelyard.models.tables import CustomModel
from modelyard.models.views import view_models

V = TypeVar("V")

ORDERS = {
    None: (CustomModel.id.desc(),),
    "created": (CustomModel.id.asc(),),
    "-created": (CustomModel.id.desc(),),
    "updated": (CustomModel.updated_at.asc(), CustomModel.id.asc()),
    "-updated": (CustomModel.updated_at.desc(), CustomModel.id.desc()),
}
UPDATED_ORDERS = frozenset({"updated", "-updated"})
MANY = 2000
"""From so many visible models on, walking the index of an order beats sorting what is visible."""


def list_models(
    session: Session, caller: Caller, query: CustomModelListQuery, request: RequestInfo
) -> Page[CustomModelResponse]:
    """The models that the caller may view, newest first unless ``orderBy`` says otherwise."""
    return list_viewed(session, caller, query, request, view_models)


def list_viewed(
    session: Session,
    caller: Caller,
    query: CustomModelListQuery,
    request: RequestInfo,
    view: Callable[[Session, Sequence[CustomModel]], list[V]],
) -> Page[V]:
    """``list_models`` with each page shown by ``view``."""
    filters = []
    are_few = False
    if query.custom_model_type is not None:
        filters.append(CustomModel.custom_model_type == query.custom_model_type)
    if query.is_deployed is not None:
        deployed = usage.is_deployed()
        are_few = read_bool(query.is_deployed, "isDeployed")
        filters.append(deployed if are_few else ~deployed)
    if query.search_for:
        filters.append(CustomModel.search_text.contains(query.search_for.casefold(), autoescape=True))
    visible = sharing.count_visible(session, caller, KIND)
    if not filters and query.order_by in {None, "created", "-created"}:
        newest_first = query.order_by != "created"
        ids = sharing.visible_ids(
            session, caller, KIND, offset=query.offset, limit=query.limit, newest_first=newest_first
        )
        rows = {row.id: row for row in session.scalars(select(CustomModel).where(CustomModel.id.in_(ids)))}
        return of_items(view(session, [rows[id_] for id_ in ids if id_ in rows]), visible, query, request)
    has_index = query.order_by in UPDATED_ORDERS or query.custom_model_type is not None
    by_row = are_few or (visible > MANY and has_index)
    statement = sharing.scoped(session, caller, KIND, CustomModel, CustomModel.id, by_row=by_row)
    return page(
        session,
        statement.where(*filters).order_by(*ORDERS[query.order_by]),
        query,
        request,
        lambda rows: view(session, rows),
        total=None if filters else visible,
    )
