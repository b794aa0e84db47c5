"""Credentials as a starting workload gets them."""

from typing import Any

from modelyard.compute.workload import OpenedVariables
from modelyard.credentials.service import open_credential
from modelyard.credentials.variables import open_variables
from modelyard.identity.caller import find_user_caller
from modelyard.kernel.secret_box import SecretBox
from tests.api_client import Api
from tests.conftest import Installation


def user_id(api: Api) -> str:
    return str(api.get("/account/info/").json()["uid"])


def opened(installation: Installation, credential_id: str, api: Api | None = None) -> dict[str, Any]:
    """The plain fields, opened on behalf of whom ``api`` belongs to."""
    application = installation.application
    with application.database.read() as session:
        caller = find_user_caller(session, user_id(api or installation.api))
        assert caller is not None
        found = open_credential(session, caller, application.parts.get(SecretBox), credential_id)
    return dict(found.fields)


def variables(installation: Installation, api: Api | None = None, **credential_ids: str) -> OpenedVariables:
    application = installation.application
    with application.database.read() as session:
        box = application.parts.get(SecretBox)
        return open_variables(session, box, user_id(api or installation.api), credential_ids)
