"""How a credential opens a Git server: a header for the web, a private key for ssh. Nothing is written to a disk."""

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from modelyard.credentials.service import OpenCredential
from modelyard.credentials.types import secret_texts
from modelyard.repositories.locations import GitLocation

TOKEN_USERS = {
    "github": "x-access-token",
    "github-enterprise": "x-access-token",
    "gitlab-cloud": "oauth2",
    "gitlab-enterprise": "oauth2",
    "bitbucket-cloud": "x-token-auth",
}
"""The user names under which these servers take a token as the password; the others take it as a bearer token."""


class LoginError(Exception):
    """The credential cannot be used here; ``message`` says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def header(location: GitLocation, credential: OpenCredential) -> str:
    """The value of ``Authorization`` for a repository of the web."""
    fields = credential.fields
    if credential.credential_type == "basic":
        return _basic(fields["user"], fields["password"])
    token = fields.get("apiToken") or fields["token"]
    if any(character in token for character in "\r\n\0"):
        raise LoginError(f"The token of the credential {credential.name!r} has more than one line.")
    user = TOKEN_USERS.get(location.source_type)
    return f"Bearer {token}" if user is None else _basic(user, token)


def secrets_of(credential: OpenCredential, *more: str) -> list[str]:
    """Every text that no message may repeat: the secrets, and what was made of them."""
    made = [part for text in more for part in text.split(" ")[1:]]
    return [text for text in (*secret_texts(credential.credential_type, credential.fields), *made) if len(text) > 3]


@contextmanager
def key_file(credential: OpenCredential) -> Iterator[str]:
    """A path of the private key, without its passphrase, in memory: gone with the block, or with this process."""
    key = _plain_key(credential)
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, key)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _plain_key(credential: OpenCredential) -> bytes:
    text = credential.fields["privateKey"].replace("\r\n", "\n").strip().encode() + b"\n"
    phrase = credential.fields.get("passphrase")
    read = (
        serialization.load_ssh_private_key
        if b"BEGIN OPENSSH PRIVATE KEY" in text
        else serialization.load_pem_private_key
    )
    try:
        key = read(text, phrase.encode() if phrase else None)
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LoginError(
            f"The private key of the credential {credential.name!r} cannot be read ({type(error).__name__}); "
            "it must be a key in PEM form, with its passphrase if it has one, or in OpenSSH form without one."
        ) from None


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
