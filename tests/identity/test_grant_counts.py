"""The counts that lists show are those of the grants, whatever was done to the grants before."""

from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from modelyard.identity import holders, sharing
from modelyard.identity.caller import Caller
from modelyard.identity.tables import Grant, GrantCount, ResourceKind
from modelyard.kernel.database import Base, Database
from modelyard.kernel.ids import new_id

KINDS = {ResourceKind.DATASET: {"CONSUMER"}, ResourceKind.DEPLOYMENT: set[str]()}
"""The kinds that are tried, with the roles that put nothing into a list."""
SUBJECTS = ("user", "group", "organization")
RESOURCES = ("a", "b", "c", "d")
CALLER = Caller("user", "somebody", "organization", is_admin=False, subject_ids=SUBJECTS)

grants = st.tuples(
    st.just("grant"),
    st.sampled_from(RESOURCES),
    st.sampled_from(SUBJECTS),
    st.sampled_from(("OWNER", "READ_ONLY", "CONSUMER")),
)
others = st.tuples(
    st.sampled_from(("forget", "withdraw", "lose the counts")),
    st.sampled_from(RESOURCES),
    st.sampled_from(SUBJECTS),
    st.just(""),
)


def counted(session: Session, caller: Caller, kind: ResourceKind) -> int:
    """The resources that the grants show, counted one by one."""
    seen = select(Grant.resource_id).where(
        Grant.subject_id.in_(caller.subject_ids),
        Grant.resource_kind == kind.value,
        Grant.role.not_in(KINDS[kind]),
    )
    return len(set(session.scalars(seen)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(grants | others, max_size=25), kind=st.sampled_from(list(KINDS)))
def test_counts_follow_the_grants(tmp_path: Path, steps: list[tuple[str, str, str, str]], kind: ResourceKind) -> None:
    database = Database(f"sqlite:///{tmp_path / new_id()}.db")
    Base.metadata.create_all(database.engine, [Base.metadata.tables[name] for name in ("grants", "grant_counts")])
    callers = [CALLER, *(replace(CALLER, subject_ids=(subject,)) for subject in SUBJECTS)]
    for what, resource_id, subject_id, role in steps:
        with database.write() as session:
            match what:
                case "grant":
                    sharing.grant(session, kind, resource_id, subject_id, role, can_share=False)
                case "forget":
                    sharing.forget(session, kind, resource_id)
                case "withdraw":
                    holders.withdraw(session, kind, resource_id, subject_id)
                case _:  # counts are made again from the grants, so nothing is lost with them but the time
                    session.execute(delete(GrantCount).where(~GrantCount.subject_id.in_(select(Grant.subject_id))))
        with database.read() as session:
            for caller in callers:
                assert sharing.count_visible(session, caller, kind) == counted(session, caller, kind)
    database.dispose()
