"""Short ways to make credentials through the API, and what a plain secret would look like where it must not be."""

from typing import Any

from tests.api_client import Api

PASSWORD = "correct-horse-battery-staple"
ACCOUNT_KEY = {
    "type": "service_account",
    "project_id": "churn-project",
    "private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n",
    "client_email": "robot@churn-project.example",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "adlsGen2Oauth": {"clientId": "c", "clientSecret": "the-secret"},
    "apiToken": {"apiToken": "the-secret"},
    "azure": {"azureConnectionString": "AccountKey=the-secret"},
    "azureServicePrincipal": {"clientId": "c", "clientSecret": "the-secret", "azureTenantId": "t"},
    "basic": {"user": "anna", "password": "the-secret"},
    "bearer": {"token": "the-secret"},
    "databricksAccessTokenAccount": {"databricksAccessToken": "the-secret"},
    "databricksServicePrincipalAccount": {"clientId": "c", "clientSecret": "the-secret"},
    "datasphereOauth": {"clientId": "c", "clientSecret": "the-secret", "tokenUrl": "https://sphere.example"},
    "gcp": {"gcpKey": ACCOUNT_KEY},
    "oauth": {"token": "the-secret", "refreshToken": "the-other-secret"},
    "rsa": {"privateKey": "the-secret"},
    "s3": {"awsAccessKeyId": "AKIA1", "awsSecretAccessKey": "the-secret", "awsSessionToken": "the-other-secret"},
    "sapOauth": {"clientId": "c", "clientSecret": "the-secret"},
    "snowflakeKeyPairUserAccount": {"user": "anna", "privateKey": "the-secret", "passphrase": "the-other-secret"},
    "snowflakeOauthUserAccount": {"clientId": "c", "clientSecret": "the-secret", "oauthScopes": "a b"},
    "tableauAccessToken": {"tokenName": "n", "personalAccessToken": "the-secret"},
}
"""A credential of every type."""


def a_credential(api: Api, name: str = "database", **fields: Any) -> dict[str, Any]:
    """A ``basic`` credential unless the fields say otherwise."""
    own = {"credentialType": "basic", "user": "anna", "password": PASSWORD}
    body = {"name": name} | (fields if "credentialType" in fields else own | fields)
    made = api.post("/credentials/", json=body)
    assert made.status_code == 201, made.text
    return dict(made.json())


def share(api: Api, credential_id: str, username: str, role: str | None = "READ_ONLY") -> None:
    answer = api.patch(
        f"/credentials/{credential_id}/accessControl/", json={"data": [{"username": username, "role": role}]}
    )
    assert answer.status_code == 204, answer.text
