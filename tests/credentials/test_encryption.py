"""Nothing plain at rest; rotation; and what a lost key does: a clear refusal, never a 500."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.credentials import service
from modelyard.credentials.tables import Credential
from modelyard.identity.tables import AuditEvent
from modelyard.kernel.errors import Conflict
from modelyard.kernel.secret_box import SecretBox
from tests.conftest import Installation
from tests.credentials.builders import PASSWORD, a_credential
from tests.credentials.opening import opened, variables

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_no_file_holds_a_plain_secret(installation: Installation) -> None:
    made = a_credential(installation.api)
    installation.api.patch(f"/credentials/{made['credentialId']}/", json={"password": f"second-{PASSWORD}"})
    assert opened(installation, made["credentialId"])["password"] == f"second-{PASSWORD}"
    files = [path for path in installation.application.settings.data_dir.rglob("*") if path.is_file()]
    assert any(path.name.startswith("modelyard.db") for path in files) or "postgresql" in str(
        installation.application.settings.database_url
    )
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]
    with installation.application.database.read() as session:
        rows = [*session.query(Credential).all(), *session.query(AuditEvent).all()]
        assert len(rows) >= 3
        assert not any(PASSWORD in str(vars(row)) for row in rows)


@pytest.fixture
def with_keys(an_installation: Callable[..., Installation], tmp_path: Path) -> Callable[[str], Installation]:
    """The same data, served with the keys that are given."""

    def start(keys: str) -> Installation:
        return an_installation(
            data_dir=tmp_path / "same", database_url=f"sqlite:///{tmp_path / 'same.db'}", secret_keys=keys
        )

    return start


def test_rotation(with_keys: Callable[[str], Installation]) -> None:
    made = a_credential(with_keys(OLD).api)
    during = with_keys(f"{NEW},{OLD}")
    assert opened(during, made["credentialId"])["password"] == PASSWORD
    box = during.application.parts.get(SecretBox)
    with during.application.database.write() as session:
        assert service.unreadable(session, box) == {}
        assert [service.reseal(session, box), service.reseal(session, box)] == [1, 0]
    after = with_keys(NEW)
    assert opened(after, made["credentialId"])["password"] == PASSWORD


def test_a_lost_key(with_keys: Callable[[str], Installation]) -> None:
    made = a_credential(with_keys(OLD).api)
    lost = with_keys(NEW)
    path = f"/credentials/{made['credentialId']}/"
    assert lost.api.get(path).json() == made
    refused = lost.api.patch(path, json={"user": "bob"})
    assert refused.status_code == 409
    assert "MODELYARD_SECRET_KEYS" in refused.json()["message"]
    box = lost.application.parts.get(SecretBox)
    with lost.application.database.write() as session:
        assert sum(service.unreadable(session, box).values()) == 1
        with pytest.raises(Conflict):
            service.reseal(session, box)
    with pytest.raises(Conflict, match=r"Runtime parameter DB: .*MODELYARD_SECRET_KEYS"):
        variables(lost, DB=made["credentialId"])
    assert lost.api.patch(path, json={"description": "no secret is needed for this"}).status_code == 200
    assert lost.api.patch(path, json={"user": "bob", "password": "new-one"}).status_code == 200
    assert opened(lost, made["credentialId"]) == {"user": "bob", "password": "new-one"}
