"""How credentials reach code: the names and values of variables, and what of them is secret."""

import json
from typing import Any

import pytest

from modelyard.compute.workload import Kind, Workload, from_json, to_json, with_opened
from modelyard.kernel.errors import Conflict
from tests.conftest import Installation
from tests.credentials.builders import ACCOUNT_KEY, PASSWORD, a_credential, share
from tests.credentials.opening import variables
from tests.models.builders import NOBODY


def test_a_credential_comes_whole_and_field_by_field(installation: Installation) -> None:
    made = a_credential(installation.api, "warehouse", description="what for")
    found = variables(installation, DB=made["credentialId"])
    payload = {
        "credentialType": "basic",
        "name": "warehouse",
        "description": "what for",
        "user": "anna",
        "password": PASSWORD,
    }
    listed = "DB,DB_PASSWORD,MLOPS_RUNTIME_PARAM_DB"
    assert found.literals == {"DB_USER": "anna", "MODELYARD_SECRET_VARIABLES": listed}
    assert set(found.secrets) == {"DB", "DB_PASSWORD", "MLOPS_RUNTIME_PARAM_DB"}
    assert json.loads(found.secrets["DB"]) == payload
    assert json.loads(found.secrets["MLOPS_RUNTIME_PARAM_DB"]) == {"type": "credential", "payload": payload}
    assert found.secrets["DB_PASSWORD"] == PASSWORD
    assert found.masked == (PASSWORD,)
    assert PASSWORD not in repr(found)


def test_field_names_in_upper_snake_case(installation: Installation) -> None:
    s3 = a_credential(
        installation.api, "s", credentialType="s3", awsAccessKeyId="AKIA", awsSecretAccessKey="secret-key"
    )
    gcp = a_credential(installation.api, "g", credentialType="gcp", gcpKey=ACCOUNT_KEY)
    found = variables(installation, BUCKET=s3["credentialId"], CLOUD=gcp["credentialId"])
    assert found.literals["BUCKET_AWS_ACCESS_KEY_ID"] == "AKIA"
    assert found.secrets["BUCKET_AWS_SECRET_ACCESS_KEY"] == "secret-key"
    assert json.loads(found.secrets["CLOUD_GCP_KEY"]) == ACCOUNT_KEY
    assert json.loads(found.secrets["CLOUD"])["gcpKey"] == ACCOUNT_KEY
    assert found.masked == ("secret-key", ACCOUNT_KEY["private_key"])


def test_reserved_names_come_prefixed_only_and_are_masked(installation: Installation) -> None:
    made = a_credential(installation.api)
    found = variables(installation, PYTHON_DB=made["credentialId"], LD=made["credentialId"])
    assert set(found.secrets) == {"MLOPS_RUNTIME_PARAM_PYTHON_DB", "MLOPS_RUNTIME_PARAM_LD", "LD"}
    assert set(found.literals) == {"MODELYARD_SECRET_VARIABLES"}
    assert set(found.masked) == {PASSWORD}


def test_what_a_workload_says_itself_counts_more(installation: Installation) -> None:
    made = a_credential(installation.api)
    own = {"DB_USER": "mine", "DB_PASSWORD": "mine too"}
    workload = Workload(id="one", kind=Kind.RUN, command=("true",), literals=own)
    started = with_opened(workload, variables(installation, DB=made["credentialId"]))
    assert started.literals.items() >= own.items()
    assert set(started.secrets) == {"DB", "MLOPS_RUNTIME_PARAM_DB"}
    assert PASSWORD in started.masked
    text = to_json(started)
    assert PASSWORD not in text + repr(started)
    assert from_json(text).secrets == {"DB": "", "MLOPS_RUNTIME_PARAM_DB": ""}


def test_only_who_may_use_it_gets_it(installation: Installation) -> None:
    made = a_credential(installation.api)
    bob = installation.a_user("bob")
    ids: dict[str, Any] = {"DB": made["credentialId"], "GONE": NOBODY}
    with pytest.raises(Conflict) as refused:
        variables(installation, bob, **ids)
    for name, credential_id in ids.items():
        assert f"Runtime parameter {name} names the credential {credential_id}" in refused.value.message
    assert "bob may not use any more" in refused.value.message
    share(installation.api, made["credentialId"], "bob", "CONSUMER")
    assert variables(installation, bob, DB=made["credentialId"]).secrets["DB_PASSWORD"] == PASSWORD
    share(installation.api, made["credentialId"], "bob", None)
    with pytest.raises(Conflict):
        variables(installation, bob, DB=made["credentialId"])
