"""``/credentials/``: storing what user code needs to get into other systems. No answer holds a secret."""

from sqlalchemy.orm import Session

from modelyard.credentials import service
from modelyard.credentials.schemas import (
    CredentialCreate,
    CredentialListQuery,
    CredentialResponse,
    CredentialUpdate,
)
from modelyard.identity.access_lists import AccessControlResponse, SharingUpdateOrRemoveWithGrant
from modelyard.identity.caller import Caller
from modelyard.kernel.paging import Page, PageQuery
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.kernel.secret_box import SecretBox
from modelyard.kernel.settings import Settings

TAG = "Credentials"


@endpoint("GET", "/credentials/", tag=TAG)
def list_credentials(
    session: Session, caller: Caller, query: CredentialListQuery, request: RequestInfo
) -> Page[CredentialResponse]:
    """List the credentials that you may see."""
    return service.list_credentials(session, caller, query, request)


@endpoint("POST", "/credentials/", status=201, errors=(409, 422), tag=TAG)
def create_credential(session: Session, caller: Caller, body: CredentialCreate, box: SecretBox) -> CredentialResponse:
    """Store a credential, encrypted."""
    return service.view(service.create_credential(session, caller, box, body))


@endpoint("GET", "/credentials/{credentialId}/", errors=(403, 404), tag=TAG)
def read_credential(session: Session, caller: Caller, credential_id: str) -> CredentialResponse:
    """Read what is known of a credential, without its secrets."""
    return service.view(service.find_credential(session, caller, credential_id))


@endpoint("PATCH", "/credentials/{credentialId}/", errors=(403, 404, 409, 422), tag=TAG)
def update_credential(
    session: Session, caller: Caller, credential_id: str, body: CredentialUpdate, box: SecretBox
) -> CredentialResponse:
    """Change a credential's name, description or fields; a field that is absent stays."""
    return service.view(service.change_credential(session, caller, box, credential_id, body))


@endpoint("DELETE", "/credentials/{credentialId}/", status=204, errors=(403, 404), tag=TAG)
def delete_credential(session: Session, caller: Caller, credential_id: str) -> None:
    """Delete a credential.

    What runs goes on with it; what refers to it fails at its next start, and says which parameter names it.
    """
    service.delete_credential(session, caller, credential_id)


@endpoint("GET", "/credentials/{credentialId}/accessControl/", errors=(403, 404), tag=TAG)
def list_access(
    session: Session, caller: Caller, credential_id: str, query: PageQuery, request: RequestInfo
) -> Page[AccessControlResponse]:
    """List the users that a credential is shared with."""
    return service.list_access(session, caller, credential_id, query, request)


@endpoint("PATCH", "/credentials/{credentialId}/accessControl/", status=204, errors=(403, 404, 409, 422), tag=TAG)
def change_access(
    session: Session, caller: Caller, credential_id: str, body: SharingUpdateOrRemoveWithGrant, settings: Settings
) -> None:
    """Let others use a credential (they never see its secrets), or take that away again."""
    service.change_access(session, caller, settings, credential_id, body)
