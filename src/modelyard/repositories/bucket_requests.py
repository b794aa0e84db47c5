"""Requests to an S3 server: signed (AWS Signature Version 4), to an address that was checked, and to no other.

A library resolves names itself and follows redirects, and takes proxies from the environment; what a user names could
lead it anywhere. Two requests are all that pulling takes.
"""

import hashlib
import hmac
import http.client
import re
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from modelyard.repositories.pulled import PullError
from modelyard.storage.public_hosts import FetchError
from modelyard.storage.web_fetch import Target, connected, parse_url

ATTEMPTS: Final = 3
PAUSE_S: Final = 0.5
MAX_ERROR_BYTES: Final = 64 << 10
_NOTHING: Final = hashlib.sha256(b"").hexdigest()
_CODE: Final = re.compile(rb"<Code>(\w{1,64})</Code>")
_MEANINGS: Final = {
    "AccessDenied": "the login may not read it",
    "AllAccessDisabled": "the login may not read it",
    "ExpiredToken": "the session token of the credential has expired",
    "InvalidAccessKeyId": "the keys of the credential are wrong",
    "InvalidToken": "the session token of the credential is wrong",
    "NoSuchBucket": "there is no such bucket",
    "RequestTimeTooSkewed": "the clock of this server is wrong",
    "SignatureDoesNotMatch": "the keys of the credential are wrong",
}


@dataclass(frozen=True)
class Keys:
    """What requests are signed with."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Bucket:
    """A bucket at ``endpoint``, to be closed. Asks raise ``PullError``, ``FetchError`` and what ``check`` raises.

    ``deadline`` is of ``time.monotonic``.
    """

    def __init__(
        self,
        name: str,
        endpoint: str,
        region: str,
        keys: Keys | None,
        allowed_private_hosts: Collection[str],
        deadline: float,
        check: Callable[[], None],
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._target = parse_url(endpoint, allowed_private_hosts)
        self._region = region
        self._keys = keys
        self._allowed = allowed_private_hosts
        self._deadline = deadline
        self.check = check
        self._stack = ExitStack()
        self._connection: http.client.HTTPConnection | None = None

    def ask(
        self, method: str, key: str = "", query: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse | None:
        """The answer, of which the caller reads everything or closes the bucket; None where there is no such key."""
        path = "/" + quote(f"{self.name}/{key}" if key else self.name)
        words = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted((query or {}).items())
        )
        for left in reversed(range(ATTEMPTS)):
            self.check()
            response = self._answer(method, path, words, is_last=left == 0)
            if response is None:
                continue
            if response.status == 200:
                return response
            body = response.read(MAX_ERROR_BYTES)
            self.close()
            found = _CODE.search(body)
            code = found.group(1).decode() if found else ""
            if response.status == 404 and key and code != "NoSuchBucket":
                return None
            if response.status < 500 or left == 0:
                raise PullError(f"The bucket {self.name} cannot be read: {_meaning(response.status, code)}.")
            time.sleep(PAUSE_S)
        raise AssertionError("the last attempt answers or raises")

    def twin(self) -> "Bucket":
        """The same bucket, with a connection of its own."""
        return Bucket(self.name, self._endpoint, self._region, self._keys, self._allowed, self._deadline, self.check)

    def close(self) -> None:
        """Ends the connection; another request makes a new one."""
        self._connection = None
        self._stack.close()

    def _answer(self, method: str, path: str, query: str, *, is_last: bool) -> http.client.HTTPResponse | None:
        try:
            if self._connection is None:
                self._connection = self._stack.enter_context(
                    connected(self._target, self._allowed, self._deadline, self.check)
                )
            headers = {"Host": _host(self._target), "User-Agent": "modelyard", "x-amz-content-sha256": _NOTHING}
            if self._keys is not None:
                headers |= signature(method, path, query, headers, self._keys, self._region, datetime.now(UTC))
            self._connection.request(method, f"{path}?{query}" if query else path, headers=headers)
            return self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()  # raises why it was cut, if it was
            if is_last:
                raise FetchError(f"{self._target.host} cannot be asked: {error or type(error).__name__}.") from error
            return None


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], keys: Keys, region: str, now: datetime
) -> dict[str, str]:
    """The headers that sign a request without content; ``path`` and ``query`` as they are sent, ``query`` sorted."""
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": moment} | ({"x-amz-security-token": keys.token} if keys.token else {})
    signed = {name.lower(): value for name, value in ({**headers, **added}).items() if name != "User-Agent"}
    names = ";".join(sorted(signed))
    lines = [method, path, query, *(f"{name}:{signed[name]}" for name in sorted(signed)), "", names, _NOTHING]
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    request = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{keys.secret}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{request}"):
        key = hmac.digest(key, part.encode(), "sha256")
    login = f"AWS4-HMAC-SHA256 Credential={keys.key_id}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**added, "Authorization": login}


def _host(target: Target) -> str:
    shown = f"[{target.host}]" if ":" in target.host else target.host
    return shown if target.port == {"http": 80, "https": 443}[target.scheme] else f"{shown}:{target.port}"


def _meaning(status: int, code: str) -> str:
    if 300 <= status < 400:
        return "its server redirects to another address, which is not followed; make that the location"
    if code in _MEANINGS:
        return _MEANINGS[code]
    by_status = {401: "AccessDenied", 403: "AccessDenied", 404: "NoSuchBucket"}.get(status)
    return _MEANINGS[by_status] if by_status and not code else f"its server answers {status} {code}".strip()
