"""Pages of lists: ``offset`` and ``limit`` in, ``count``, ``next``, ``previous``, ``totalCount`` and ``data`` out."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import Query, Schema, Uri

Row = TypeVar("Row")
Item = TypeVar("Item")

Offset = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Limit100 = Annotated[int, Meta(ge=1, le=100)]
Limit1000 = Annotated[int, Meta(ge=1, le=1000)]


class PageQuery(Query):
    """Where a list begins and how much of it is wanted."""

    offset: Offset = 0
    limit: Limit1000 = 100


class Page(Schema, Generic[Item]):
    """One page of a list. ``next`` and ``previous`` keep every other query parameter of the request."""

    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: list[Item]


def page(
    session: Session,
    statement: Select[Any],
    query: Any,
    request: RequestInfo,
    view: Callable[[Sequence[Any]], list[Item]],
    *,
    total: int | None = None,
) -> Page[Item]:
    """One page of ``statement`` (which has its order). ``view`` turns all rows of the page into wire items at once.

    ``total`` spares the count where a cheaper one is known.
    """
    if total is None:
        total = count_rows(session, statement.order_by(None))
    rows = session.execute(statement.offset(query.offset).limit(query.limit)).all() if total > query.offset else []
    firsts = [row[0] if len(row) == 1 else row for row in rows]
    return of_items(view(firsts), total, query, request)


def count_rows(session: Session, statement: Select[Any]) -> int:
    """How many rows a statement finds."""
    return session.scalar(select(func.count()).select_from(statement.subquery())) or 0


def of_items(items: list[Item], total: int, query: Any, request: RequestInfo) -> Page[Item]:
    """A page of items that are already at hand."""
    following = query.offset + query.limit
    return Page(
        count=len(items),
        next=_url(request, following, query.limit) if following < total else None,
        previous=_url(request, max(0, query.offset - query.limit), query.limit) if query.offset > 0 else None,
        total_count=total,
        data=items,
    )


def slice_page(items: Sequence[Item], query: Any, request: RequestInfo) -> Page[Item]:
    """One page of a list that is wholly in memory because it is short by nature."""
    return of_items(list(items[query.offset : query.offset + query.limit]), len(items), query, request)


def _url(request: RequestInfo, offset: int, limit: int) -> str:
    kept = [(k, v) for k, v in parse_qsl(request.query_string, keep_blank_values=True) if k not in {"offset", "limit"}]
    return f"{request.base_url}{request.path}?{urlencode([*kept, ('offset', offset), ('limit', limit)])}"
