"""``/status/``, and operations in general."""

from tests.conftest import Installation


def test_a_stranger_without_a_token_is_told_what_to_send(installation: Installation) -> None:
    answer = installation.api.as_(None).get("/status/")
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["message"]


def test_no_operations_yet(installation: Installation) -> None:
    answer = installation.api.get("/status/")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"count": 0, "next": None, "previous": None, "totalCount": 0, "data": []}
    assert installation.api.get("/status").status_code == 200


def test_every_wrong_parameter_is_named(installation: Installation) -> None:
    answer = installation.api.get("/status/?offset=-1&limit=x")
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"offset", "limit"}
