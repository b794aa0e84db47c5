"""Names of users, groups and organizations: nothing that is not seen, and no two that look the same."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.exc import IntegrityError

from modelyard.identity.tables import Organization, User
from modelyard.kernel.ids import new_id
from modelyard.kernel.texts import comparable
from tests.api_client import Api
from tests.conftest import Installation

KINDS = {"/users/": "username", "/groups/": "name", "/organizations/": "name"}
INVISIBLE = [
    "ad\u202emin",  # shown from right to left
    "admin\u200b",  # zero-width space
    "ad\u200dmin",  # zero-width joiner
    "\ufeffadmin",
    "ad\u00admin",  # soft hyphen
    "admin\u2066",
    "ad\x1b[2Jmin",
    "admin\x7f",
    "admin\x9b2J",
    "ad\nmin",
    "ad\u2028min",
    "ad\u2029min",
    "admin\U000e0041",  # a tag
    "admin\ufe0f",  # variation selector
    "admin\u3164",  # Hangul filler
    "admin\u2800",  # a Braille pattern without dots
    "admin\ufffc",  # object replacement
    "admin\ue000",  # private use
]
SAME = [
    ("grace", "Grace"),
    ("grace", "\uff47\uff52\uff41\uff43\uff45"),
    ("straße", "STRASSE"),
    ("e\u0301va", "\u00c9va"),
    ("ﬁona", "Fiona"),
    ("dž", "\u01c5"),
    ("σίσυφος", "ΣΊΣΥΦΟΣ"),
]


@pytest.mark.parametrize("path", KINDS)
def test_what_is_not_seen_is_in_no_name(api: Api, path: str) -> None:
    wrong = []
    for name in INVISIBLE:
        answer = api.post(path, json={KINDS[path]: name})
        told = answer.json().get("errors", {}).get(KINDS[path], "")
        if answer.status_code != 422 or name in told:
            wrong.append((name.encode("unicode_escape"), answer.status_code, answer.text))
    assert not wrong


def test_nor_in_what_else_is_shown_of_a_user(api: Api) -> None:
    sent = {"email": "a\u202e@example.org", "firstName": "a\x1b", "lastName": "a\u200b"}
    answer = api.post("/users/", json={"username": "grace", **sent})
    assert (answer.status_code, set(answer.json()["errors"])) == (422, set(sent))
    made = api.post("/users/", json={"username": "grace"}).json()
    answer = api.patch(f"/users/{made['id']}/", json=sent)
    assert (answer.status_code, set(answer.json()["errors"])) == (422, set(sent))


@pytest.mark.parametrize("path", KINDS)
def test_names_that_look_the_same_are_taken_once(api: Api, path: str) -> None:
    for first, second in SAME:
        assert api.post(path, json={KINDS[path]: first}).status_code in {201, 409}  # two of the pairs begin alike
        answer = api.post(path, json={KINDS[path]: second})
        assert answer.status_code == 409, (first, second, answer.text)


@pytest.mark.parametrize("path", ["/groups/", "/organizations/"])
def test_a_name_is_not_taken_by_renaming_either(api: Api, path: str) -> None:
    api.post(path, json={"name": "Data Science"})
    made = api.post(path, json={"name": "other"}).json()
    for taken in ("data science", "DATA\u00a0SCIENCE", "Data  Science"):
        assert api.patch(f"{path}{made['id']}/", json={"name": taken}).status_code == 409
    assert api.patch(f"{path}{made['id']}/", json={"name": "ad\u202emin"}).status_code == 422
    assert api.patch(f"{path}{made['id']}/", json={"name": "OTHER"}).json()["name"] == "OTHER"


@pytest.mark.parametrize("path", ["/groups/", "/organizations/"])
def test_a_name_is_not_blank(api: Api, path: str) -> None:
    assert set(api.post(path, json={"name": " \u3000 "}).json()["errors"]) == {"name"}


def test_a_slash_is_a_slash_however_wide(api: Api) -> None:
    assert set(api.post("/users/", json={"username": "a\uff0fb"}).json()["errors"]) == {"username"}


def test_what_is_long_when_it_is_written_out_is_too_long(api: Api) -> None:
    assert set(api.post("/groups/", json={"name": "\ufdfa" * 20}).json()["errors"]) == {"name"}


def test_names_of_other_scripts_are_names(api: Api) -> None:
    for name in ("Zoë", "Мария", "田中", "أحمد", "ज्ञान", "O'Neil-Smith", "🦊"):
        assert api.post("/users/", json={"username": name}).status_code == 201, name
        assert api.post("/groups/", json={"name": name}).status_code == 201, name


def test_two_that_come_at_once_are_kept_apart_by_the_database(installation: Installation) -> None:
    now = datetime.now(UTC)
    for row in (
        Organization(id=new_id(), name="DEFAULT", created_at=now),
        User(id=new_id(), organization_id=installation.api.get("/users/").json()["data"][0]["organizationId"],
             username="ADMIN", created_at=now),
    ):  # fmt: skip
        with pytest.raises(IntegrityError), installation.application.database.write() as session:
            session.add(row)


def test_comparing_does_not_change_what_was_compared() -> None:
    for pair in SAME:
        (once,) = {comparable(name) for name in pair}
        assert comparable(once) == once
