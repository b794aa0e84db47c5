"""The types of credentials and their fields: the one table that reading, checking, masking and handing over go by.

``basic``, ``azure``, ``gcp``, ``s3`` and ``apiToken`` are as supporting-endpoints.md C.7 has them. For the others the
names are those of the services themselves: OAuth 2.0 (RFC 6749: ``clientId``, ``clientSecret``, scopes in one text with
spaces), Databricks, Snowflake, SAP and Tableau.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True)
class Field:
    """One field of a type, by its wire name. What is not secret names an account or a place, and is not masked."""

    name: str
    is_secret: bool = True
    is_required: bool = True


def _public(name: str, *, is_required: bool = True) -> Field:
    return Field(name, is_secret=False, is_required=is_required)


def _optional(name: str) -> Field:
    return Field(name, is_required=False)


CLIENT = (_public("clientId"), Field("clientSecret"))

FIELDS: dict[str, tuple[Field, ...]] = {
    "adlsGen2Oauth": (*CLIENT, _public("oauthScopes", is_required=False)),
    "apiToken": (Field("apiToken"),),
    "azure": (Field("azureConnectionString"),),
    "azureServicePrincipal": (*CLIENT, _public("azureTenantId")),
    "basic": (_public("user"), Field("password")),
    "bearer": (Field("token"),),
    "databricksAccessTokenAccount": (Field("databricksAccessToken"),),
    "databricksServicePrincipalAccount": CLIENT,
    "datasphereOauth": (*CLIENT, _public("tokenUrl")),
    "gcp": (Field("gcpKey"),),
    "oauth": (Field("token"), _optional("refreshToken")),
    "rsa": (Field("privateKey"), _optional("passphrase")),
    "s3": (_public("awsAccessKeyId"), Field("awsSecretAccessKey"), _optional("awsSessionToken")),
    "sapOauth": (*CLIENT, _public("tokenUrl", is_required=False), _public("sapAiApiUrl", is_required=False)),
    "snowflakeKeyPairUserAccount": (_public("user"), Field("privateKey"), _optional("passphrase")),
    "snowflakeOauthUserAccount": (
        *CLIENT,
        _public("oauthIssuerType", is_required=False),
        _public("oauthIssuerUrl", is_required=False),
        _public("oauthScopes", is_required=False),
    ),
    "tableauAccessToken": (_public("tokenName"), Field("personalAccessToken")),
}

MAX_FIELDS_BYTES = 64 * 1024
"""Of all fields as JSON: one environment variable holds them, and Linux gives it 128 KiB."""

_PUBLIC_IN_GCP_KEY = frozenset(
    {
        "type",
        "projectid",
        "clientemail",
        "clientid",
        "authuri",
        "tokenuri",
        "authproviderx509certurl",
        "clientx509certurl",
        "universedomain",
    }
)
"""What a service account's key file says beside the key, without the underscores."""


def type_name(given: str) -> str:
    """The type that a client means: older ones write ``api_token`` for ``apiToken``."""
    return "apiToken" if given == "api_token" else given


def field_faults(credential_type: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with all fields of a credential together, by name; ``None`` and absent are the same."""
    known = {field.name: field for field in FIELDS[credential_type]}
    present = {name for name, value in fields.items() if value is not None}
    foreign = f"is not a field of {credential_type} credentials; those have {', '.join(known)}"
    faults = dict.fromkeys(sorted(present - known.keys()), foreign)
    faults |= {
        name: f"is required for {credential_type} credentials"
        for name, field in known.items()
        if field.is_required and name not in present
    }
    if not faults and len(msgspec.json.encode(fields)) > MAX_FIELDS_BYTES:
        longest = max(present, key=lambda name: len(msgspec.json.encode(fields[name])))
        faults[longest] = f"is too long: all fields together may have {MAX_FIELDS_BYTES} bytes as JSON"
    return faults


def secret_texts(credential_type: str, fields: Mapping[str, Any]) -> list[str]:
    """Every text of a credential that must not appear in a log."""
    found: list[str] = []
    for field in FIELDS[credential_type]:
        value = fields.get(field.name)
        if value is not None and field.is_secret:
            found += [value] if isinstance(value, str) else _secret_leaves(value)
    return found


def _secret_leaves(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _secret_leaves(part, str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _secret_leaves(part, name)
    elif isinstance(value, str) and name.replace("_", "").lower() not in _PUBLIC_IN_GCP_KEY:
        yield value
