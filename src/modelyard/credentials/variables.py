"""From credentials to the environment variables that hand them to code (supporting-endpoints.md, C.6 and C.7)."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from modelyard.compute.workload import OpenedVariables
from modelyard.credentials import service
from modelyard.credentials.service import OpenCredential
from modelyard.credentials.types import FIELDS, secret_texts
from modelyard.identity.caller import find_user_caller
from modelyard.kernel.database import Database
from modelyard.kernel.errors import Conflict
from modelyard.kernel.secret_box import SecretBox
from modelyard.workspaces.parameter_variables import PARAMETER_PREFIX, is_free

SECRET_VARIABLES = "MODELYARD_SECRET_VARIABLES"  # noqa: S105 # a variable's name
"""Names the variables that hold secrets, so that the runner can mask them in what it makes of exceptions."""


def open_variables(
    session: Session, box: SecretBox, acts_for: str | None, credential_ids: Mapping[str, str]
) -> OpenedVariables:
    """The variables of credentials (ids by parameter name), opened on behalf of the user ``acts_for`` (an id).

    To be called each time a workload is started; the answer is never to be stored. ``Conflict`` names every
    credential that was deleted, may not be used any more, or cannot be decrypted.
    """
    if not credential_ids:
        return OpenedVariables()
    caller = None if acts_for is None else find_user_caller(session, acts_for)
    if caller is None:
        raise Conflict(f"The user for whom credentials are to be opened ({acts_for}) is gone; set the parameters anew.")
    opened: dict[str, OpenCredential] = {}
    faults = []
    for name, credential_id in credential_ids.items():
        try:
            opened[name] = service.open_credential(session, caller, box, credential_id)
        except service.CredentialGone:
            faults.append(
                f"Runtime parameter {name} names the credential {credential_id}, which was deleted or which "
                f"{caller.username} may not use any more; set another one."
            )
        except Conflict as error:
            faults.append(f"Runtime parameter {name}: {error.message}")
    if faults:
        raise Conflict(" ".join(faults))
    return credential_variables(opened)


def opener(database: Database, box: SecretBox) -> Callable[[str | None, Mapping[str, str]], OpenedVariables]:
    """``open_variables`` in a session of its own: what ``compute.services.workloads.Materials`` takes."""

    def variables(acts_for: str | None, credential_ids: Mapping[str, str]) -> OpenedVariables:
        with database.read() as session:
            return open_variables(session, box, acts_for, credential_ids)

    return variables


def credential_variables(opened: Mapping[str, OpenCredential]) -> OpenedVariables:
    """Each credential (by parameter name) prefixed with its type, plain as JSON, and field by field.

    Fields that are not secret are literals, as is the list of the variables that are. Every secret text is masked,
    also one whose own variable is not made because its name is reserved.
    """
    literals: dict[str, str] = {}
    secrets: dict[str, str] = {}
    masked: list[str] = []
    for name, credential in opened.items():
        masked += secret_texts(credential.credential_type, credential.fields)
        for field in FIELDS[credential.credential_type]:
            variable = f"{name}_{_upper_snake(field.name)}"
            if field.name in credential.fields and is_free(variable):
                target = secrets if field.is_secret else literals
                target[variable] = _text(credential.fields[field.name])
    for name, credential in opened.items():  # after all fields: a parameter's own name counts more
        payload = credential.payload()
        whole = {PARAMETER_PREFIX + name: _text({"type": "credential", "payload": payload})}
        if is_free(name):
            whole[name] = _text(payload)
        secrets |= whole
        for variable in whole:
            literals.pop(variable, None)
    if secrets:
        literals[SECRET_VARIABLES] = ",".join(sorted(secrets))
    return OpenedVariables(literals, secrets, tuple(masked))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _upper_snake(camel: str) -> str:
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", camel).upper()
