"""``/events/``: ours (decision 0029)."""

from sqlalchemy.orm import Session

from modelyard.events import service
from modelyard.events.schemas import Event, EventListQuery
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page
from modelyard.kernel.routing import RequestInfo, endpoint


@endpoint("GET", "/events/", errors=(422,), tag="Events")
def list_events(session: Session, caller: Caller, query: EventListQuery, request: RequestInfo) -> Page[Event]:
    """List what happened to your deployments and jobs, newest first."""
    return service.list_events(session, caller, query, request)
