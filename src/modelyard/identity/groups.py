"""Use cases of groups: users of one organization that things can be shared with together."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from modelyard.identity import audit, service
from modelyard.identity.administration import find_user, organization_for, require_admin, require_usable, unique_name
from modelyard.identity.caller import Caller
from modelyard.identity.schemas import (
    GroupCreate,
    GroupListQuery,
    GroupResponse,
    GroupUpdate,
    MemberAdd,
    UserResponse,
)
from modelyard.identity.sharing import count_grants_to
from modelyard.identity.tables import Group, GroupMember, User
from modelyard.kernel.database import ignoring_case
from modelyard.kernel.errors import Conflict, NotFound, invalid
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, PageQuery, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.wire import moment


def list_groups(session: Session, caller: Caller, query: GroupListQuery, request: RequestInfo) -> Page[GroupResponse]:
    require_admin(caller)
    statement = select(Group).order_by(ignoring_case(Group.name), Group.id)
    if query.search:
        statement = statement.where(func.lower(Group.name).contains(query.search.lower(), autoescape=True))
    if query.organization_id is not None:
        statement = statement.where(Group.organization_id == query.organization_id)
    return page(session, statement, query, request, lambda groups: _views(session, groups))


def create_group(session: Session, caller: Caller, body: GroupCreate) -> GroupResponse:
    require_admin(caller)
    problems = Problems()
    with problems.collecting():
        require_usable(name=body.name)
    with problems.collecting():
        organization_id = organization_for(session, caller, body.organization_id)
    problems.raise_all()
    group = Group(id=new_id(), organization_id=organization_id, name=body.name, created_at=datetime.now(UTC))
    with unique_name(session, "group", body.name):
        session.add(group)
    audit.record(session, caller, "create", "group", group.id, {"name": group.name})
    return _view(session, group)


def read_group(session: Session, caller: Caller, group_id: str) -> GroupResponse:
    require_admin(caller)
    return _view(session, _find(session, group_id))


def rename_group(session: Session, caller: Caller, group_id: str, body: GroupUpdate) -> GroupResponse:
    require_admin(caller)
    group = _find(session, group_id)
    require_usable(name=body.name)
    with unique_name(session, "group", body.name):
        group.name = body.name
    audit.record(session, caller, "update", "group", group.id, {"name": group.name})
    return _view(session, group)


def delete_group(session: Session, caller: Caller, group_id: str) -> None:
    """Deletes a group; ``Conflict`` while it has a role on anything, which might be left without an owner."""
    require_admin(caller)
    group = _find(session, group_id)
    grants = count_grants_to(session, group.id)
    if grants:
        raise Conflict(f"Group {group.name!r} has a role on {grants} resource(s): take those away first.")
    session.delete(group)
    audit.record(session, caller, "delete", "group", group.id, {"name": group.name})


def list_members(
    session: Session, caller: Caller, group_id: str, query: PageQuery, request: RequestInfo
) -> Page[UserResponse]:
    require_admin(caller)
    group = _find(session, group_id)
    statement = (
        select(User)
        .join(GroupMember, GroupMember.user_id == User.id)
        .where(GroupMember.group_id == group.id)
        .order_by(ignoring_case(User.username), User.id)
    )
    return page(session, statement, query, request, service.views)


def add_member(session: Session, caller: Caller, group_id: str, body: MemberAdd) -> None:
    """Adds a user of the group's own organization, so that a group never carries a share across organizations."""
    require_admin(caller)
    group = _find(session, group_id)
    user = find_user(session, body.user_id)
    if user.organization_id != group.organization_id:
        raise invalid(userId=f"user {user.username} belongs to another organization than group {group.name!r}")
    session.merge(GroupMember(group_id=group.id, user_id=user.id))
    audit.record(session, caller, "addMember", "group", group.id, {"userId": user.id})


def remove_member(session: Session, caller: Caller, group_id: str, user_id: str) -> None:
    require_admin(caller)
    group = _find(session, group_id)
    removed = session.scalar(
        delete(GroupMember)
        .where(GroupMember.group_id == group.id, GroupMember.user_id == user_id)
        .returning(GroupMember.user_id)
    )
    if removed is None:
        raise NotFound(f"There is no user {user_id} in group {group.name!r}.")
    audit.record(session, caller, "removeMember", "group", group.id, {"userId": user_id})


def _find(session: Session, group_id: str) -> Group:
    group = session.get(Group, group_id)
    if group is None:
        raise NotFound(f"There is no group {group_id}.")
    return group


def _view(session: Session, group: Group) -> GroupResponse:
    return _views(session, [group])[0]


def _views(session: Session, groups: Sequence[Group]) -> list[GroupResponse]:
    counted = (
        select(GroupMember.group_id, func.count())
        .where(GroupMember.group_id.in_([group.id for group in groups]))
        .group_by(GroupMember.group_id)
    )
    counts = dict(session.execute(counted).tuples().all())
    return [
        GroupResponse(
            id=group.id,
            name=group.name,
            organization_id=group.organization_id,
            members_count=counts.get(group.id, 0),
            created_at=moment(group.created_at),
        )
        for group in groups
    ]
