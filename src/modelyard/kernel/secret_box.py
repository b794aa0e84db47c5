"""Encryption at rest: the one place that turns secrets into what may be stored, and back.

Keys are 32 random bytes in base64 (``openssl rand -base64 32``). What is sealed is a Fernet token
(https://github.com/fernet/spec) behind the fingerprint of its key, so that a missing key can be named. Its owner's name
is inside, so that a sealed value means nothing in another's row.
"""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from modelyard.kernel.errors import Conflict

KEY_BYTES = 32
FINGERPRINT_LENGTH = 8
SETTING = "MODELYARD_SECRET_KEYS"


class SecretKeyError(Exception):
    """The keys of this installation cannot be read; the message says which, and what to do. It names no key."""


class SecretBox:
    """Seals with the first of its keys and opens with any: a new first key is all that a rotation begins with."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._boxes = {_fingerprint(key): Fernet(base64.urlsafe_b64encode(key)) for key in keys}
        self._first = _fingerprint(keys[0])

    @property
    def fingerprints(self) -> list[str]:
        """The first letters of each key's SHA-256, that of the key which seals first."""
        return list(self._boxes)

    def seal(self, owner: str, plain: bytes) -> str:
        """``plain`` as it may be stored in what ``owner`` (an id) names."""
        token = self._boxes[self._first].encrypt(owner.encode() + b"\0" + plain)
        return f"{self._first}:{token.decode()}"

    def open(self, owner: str, sealed: str, what: str) -> bytes:
        """What was sealed. Raises ``Conflict``, which names ``what`` and the way out, where no key opens it."""
        fingerprint, _, token = sealed.partition(":")
        box = self._boxes.get(fingerprint)
        if box is None:
            raise Conflict(
                f"{what} was encrypted with the key {fingerprint}, and this server has only {', '.join(self._boxes)}. "
                f"Give it that key again (the setting {SETTING}, or the file secret.key of its data directory), "
                "or set the secret anew."
            )
        try:
            name, _, plain = box.decrypt(token).partition(b"\0")
        except InvalidToken:
            name, plain = b"", b""
        if name != owner.encode():
            raise Conflict(f"{what} is not what was stored: its encrypted form was changed. Set the secret anew.")
        return plain


def open_secret_box(setting: str | None, file: Path) -> SecretBox:
    """The box with the keys of the setting, or else of ``file``, which is made with a random key where it is missing.

    Raises ``SecretKeyError``.
    """
    if setting is not None:
        return SecretBox(_read_keys(setting.split(","), f"the setting {SETTING}"))
    try:
        text = file.read_text(encoding="ascii") if file.exists() else _make(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SecretKeyError(
            f"the key that secrets are encrypted with cannot be read from {file}: {error}. Restore the file from a "
            f"backup, make it readable for the server, or set {SETTING}"
        ) from error
    return SecretBox(_read_keys(text.splitlines(), str(file)))


def _read_keys(texts: Sequence[str], where: str) -> list[bytes]:
    given = [text.strip() for text in texts if text.strip()]
    keys = [_decode(text) for text in given]
    wrong = [str(number) for number, key in enumerate(keys, start=1) if key is None]
    if wrong or not keys:
        what = f"entry {', '.join(wrong)} of {where} is no key" if wrong else f"{where} holds no key"
        raise SecretKeyError(
            f"{what}: a key is {KEY_BYTES} bytes in base64. Restore the one that was in use; where no secret was "
            f"stored yet, make one with 'openssl rand -base64 {KEY_BYTES}'"
        )
    return [key for key in keys if key is not None]


def _decode(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:FINGERPRINT_LENGTH]


def _make(file: Path) -> str:
    """Of several processes that make the file at once, one wins, and the others read what it wrote."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, file)
        except FileExistsError:
            return file.read_text(encoding="ascii")
    finally:
        temporary.unlink()
    return file.read_text(encoding="ascii")
