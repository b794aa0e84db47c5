"""A token that was lent to a workload, tried on every operation there is: it never becomes a right that lasts."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from modelyard.app import endpoints
from modelyard.identity.accounts import lend_token, return_tokens
from modelyard.identity.tables import ApiToken, Organization, User
from tests.api_client import Api
from tests.conftest import Installation
from tests.hostile.bodies import a_request
from tests.hostile.estate import Estate, an_estate, fill, settle
from tests.hostile.test_tenants import ADMINISTRATION, name_of

HOLDER = "f" * 24
TOKENS = "/apiTokens/"
OWN = {"GET /apiTokens/", "GET /users/{userId}/"}
"""Reading what one is and has: no right follows from it."""


@pytest.fixture
def estate(installation: Installation) -> Estate:
    """Of a user in the administrator's organization, so that only the token's scope is in the administrator's way."""
    found = an_estate(installation, "anna", "default")
    settle(installation)
    return found


def lent(installation: Installation, *, seconds: float = 600) -> Api:
    """The administrator's rights, lent to a workload."""
    with installation.application.database.write() as session:
        admin = session.scalars(select(User).where(User.username == "admin")).one()
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        return installation.api.as_(lend_token(session, admin.id, HOLDER, "run", expires_at=until))


def counted(installation: Installation) -> list[int]:
    with installation.application.database.read() as session:
        tables = (ApiToken, Organization, User)
        living = select(func.count()).select_from(ApiToken).where(ApiToken.revoked_at.is_(None))
        return [session.scalar(select(func.count()).select_from(one)) or 0 for one in tables] + [
            session.scalar(living) or 0
        ]


def test_it_makes_no_token_and_administers_nothing(installation: Installation, estate: Estate) -> None:
    api = lent(installation)
    before = counted(installation)
    tried, allowed = 0, []
    for endpoint in endpoints():
        if not endpoint.path.startswith((*ADMINISTRATION, TOKENS)) or name_of(endpoint) in OWN:
            continue
        tried += 1
        answer = api.request(endpoint.method, fill(endpoint, estate), **a_request(endpoint))
        if answer.status_code != 403:
            allowed.append((name_of(endpoint), answer.status_code, answer.text))
    assert tried > 15
    assert not allowed, "\n".join(map(str, allowed))
    assert counted(installation) == before


def test_it_works_until_it_is_returned_or_its_time_is_over(installation: Installation) -> None:
    api, late = lent(installation), lent(installation, seconds=-1)
    assert api.get("/customModels/").status_code == 200
    assert late.get("/customModels/").status_code == 401
    with installation.application.database.write() as session:
        return_tokens(session, HOLDER)
    assert api.get("/customModels/").status_code == 401
