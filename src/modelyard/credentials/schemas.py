"""Wire types of ``/credentials/`` (supporting-endpoints.md, C.7). No answer has a field that could hold a secret."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import SECRET, UNSET, Body, Moment, Schema, UnsetType
from modelyard.workspaces.runtime_parameters import CredentialType

CredentialTypeInput = CredentialType | Literal["api_token"]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=4096)]
Text = Annotated[str, Meta(min_length=1, max_length=16384, extra_json_schema=SECRET)]
OptionalText = Text | UnsetType | None
Key = Text | Annotated[dict[str, Any], Meta(extra_json_schema=SECRET)] | UnsetType | None


class CredentialFields(Body, kw_only=True):
    """Every field of any type; ``credentials.types`` says which type has which. None is ever shown again."""

    api_token: OptionalText = UNSET
    aws_access_key_id: OptionalText = UNSET
    aws_secret_access_key: OptionalText = UNSET
    aws_session_token: OptionalText = UNSET
    azure_connection_string: OptionalText = UNSET
    azure_tenant_id: OptionalText = UNSET
    client_id: OptionalText = UNSET
    client_secret: OptionalText = UNSET
    databricks_access_token: OptionalText = UNSET
    gcp_key: Key = UNSET
    oauth_issuer_type: OptionalText = UNSET
    oauth_issuer_url: OptionalText = UNSET
    oauth_scopes: OptionalText = UNSET
    passphrase: OptionalText = UNSET
    password: OptionalText = UNSET
    personal_access_token: OptionalText = UNSET
    private_key: OptionalText = UNSET
    refresh_token: OptionalText = UNSET
    sap_ai_api_url: OptionalText = UNSET
    token: OptionalText = UNSET
    token_name: OptionalText = UNSET
    token_url: OptionalText = UNSET
    user: OptionalText = UNSET

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # so that nothing that shows objects shows a secret


class CredentialCreate(CredentialFields, kw_only=True):
    name: Name
    credential_type: CredentialTypeInput
    description: Description | UnsetType | None = UNSET


class CredentialUpdate(CredentialFields, kw_only=True):
    """What is absent stays. The type cannot change; it may be sent as it is."""

    name: Name | UnsetType = UNSET
    credential_type: CredentialTypeInput | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET


class CredentialListQuery(PageQuery):
    types: list[CredentialTypeInput] | None = None
    search: str | None = None
    order_by: Literal["name", "-name", "creationDate", "-creationDate"] = "-creationDate"


class CredentialResponse(Schema):
    credential_id: str
    name: str
    description: str | None
    credential_type: CredentialType
    creation_date: Moment
