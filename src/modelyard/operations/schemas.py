"""Wire types of ``/status/``."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.kernel.paging import Offset
from modelyard.kernel.wire import Moment, Query, Schema

StatusName = Literal["INITIALIZED", "RUNNING", "COMPLETED", "ERROR", "ABORTED", "EXPIRED"]


class StatusResponse(Schema):
    status_id: str
    status: StatusName
    status_type: str
    created: Moment
    message: str
    description: str
    code: int


class StatusListQuery(Query):
    offset: Offset = 0
    limit: Annotated[int, Meta(ge=0, le=1000)] = 100
