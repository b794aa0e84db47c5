"""Use cases of organizations: sharing stays inside one."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.identity import audit
from modelyard.identity.administration import require_admin, require_usable, unique_name
from modelyard.identity.caller import Caller
from modelyard.identity.schemas import OrganizationCreate, OrganizationResponse, OrganizationUpdate
from modelyard.identity.tables import Organization, User
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import NotFound
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import moment


def list_organizations(
    session: Session, caller: Caller, query: PageQuery, request: RequestInfo
) -> Page[OrganizationResponse]:
    require_admin(caller)
    statement = select(Organization).order_by(ignoring_case(Organization.name), Organization.id)
    return page(session, statement, query, request, lambda found: _views(session, found))


def create_organization(session: Session, caller: Caller, body: OrganizationCreate) -> OrganizationResponse:
    require_admin(caller)
    require_usable(name=body.name)
    organization = Organization(id=new_id(), name=body.name, created_at=datetime.now(UTC))
    with unique_name(session, "organization", body.name):
        session.add(organization)
    audit.record(session, caller, "create", "organization", organization.id, {"name": body.name})
    return _views(session, [organization])[0]


def read_organization(session: Session, caller: Caller, organization_id: str) -> OrganizationResponse:
    require_admin(caller)
    return _views(session, [_find(session, organization_id)])[0]


def rename_organization(
    session: Session, caller: Caller, organization_id: str, body: OrganizationUpdate
) -> OrganizationResponse:
    require_admin(caller)
    organization = _find(session, organization_id)
    require_usable(name=body.name)
    with unique_name(session, "organization", body.name):
        organization.name = body.name
    audit.record(session, caller, "update", "organization", organization.id, {"name": body.name})
    return _views(session, [organization])[0]


def _find(session: Session, organization_id: str) -> Organization:
    organization = session.get(Organization, organization_id)
    if organization is None:
        raise NotFound(f"There is no organization {organization_id}.")
    return organization


def _views(session: Session, organizations: Sequence[Organization]) -> list[OrganizationResponse]:
    counted = (
        select(User.organization_id, func.count())
        .where(User.organization_id.in_([organization.id for organization in organizations]))
        .group_by(User.organization_id)
    )
    counts = dict(session.execute(counted).tuples().all())
    return [
        OrganizationResponse(
            id=organization.id,
            name=organization.name,
            users_count=counts.get(organization.id, 0),
            created_at=moment(organization.created_at),
        )
        for organization in organizations
    ]
