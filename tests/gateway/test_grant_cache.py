"""What the gateway remembers of who may use a deployment."""

from datetime import UTC, datetime

from modelyard.gateway.grants import Grants
from modelyard.identity import sharing
from modelyard.identity.tables import ApiToken, ResourceKind, User
from tests.conftest import Installation


def test_refusals_leave_nothing_behind(installation: Installation) -> None:
    grants = Grants(installation.application.database)
    for number in range(50):
        assert not grants.load((f"Bearer my_unknown_{number}", "0" * 24)).is_valid
        found = grants.load((f"Bearer {installation.api.token}", f"{number:024x}"))
        assert (found.is_valid, found.may_use) == (True, False)
    assert len(grants) == 0


def test_a_grant_that_was_not_renewed_is_not_trusted(installation: Installation) -> None:
    """However long renewing takes: what was read a second ago is read again before it is used."""
    deployment_id, token = "0" * 24, installation.a_user("predictor").token
    with installation.application.database.write() as session:
        user = session.query(User).filter_by(username="predictor").one()
        sharing.grant(session, ResourceKind.DEPLOYMENT, deployment_id, user.id, "USER", can_share=False)
    grants = Grants(installation.application.database)
    key = (f"Bearer {token}", deployment_id)
    loaded = grants.load(key)
    assert loaded.may_use
    assert grants.find(*key) is loaded
    loaded.checked_at -= 1
    assert grants.find(*key) is None
    grants.renew()
    renewed = grants.find(*key)
    assert renewed is not None
    with installation.application.database.write() as session:
        session.query(ApiToken).filter_by(user_id=user.id).update({"revoked_at": datetime.now(UTC)})
    renewed.checked_at -= 1
    grants.renew()
    assert grants.find(*key) is None
    assert len(grants) == 0
