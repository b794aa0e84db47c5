"""Where a repository is: what users write, taken apart and checked before anything speaks to it."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from modelyard.storage.public_hosts import FetchError, check_host

WEB_LOGINS: Final = ("apiToken", "basic", "bearer", "oauth")
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9.])?|[0-9a-fA-F:]+")
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SCP: Final = re.compile(r"([^@/:]+)@([^/:@]+):(?!//)(.+)")
"""Git's own form of an ssh address. Without its user it would be any URL, ``javascript:alert(1)`` too."""
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BROWSED: Final = re.compile(r"(.*)/projects/([^/]+)/repos/([^/]+)(?:/.*)?")


class LocationError(ValueError):
    """What is wrong with a location, for whoever wrote it."""


@dataclass(frozen=True)
class GitLocation:
    """A repository of a Git server: ``url`` is canonical, of the scheme ``https``, ``http`` or ``ssh``."""

    url: str
    scheme: str
    host: str
    port: int
    source_type: str

    @property
    def logins(self) -> tuple[str, ...]:
        """The types of credentials that open it."""
        return ("rsa",) if self.scheme == "ssh" else WEB_LOGINS


@dataclass(frozen=True)
class BucketLocation:
    """A bucket, of Amazon where there is no ``endpoint``. ``prefix`` is empty or ends in a slash."""

    bucket: str
    prefix: str
    endpoint: str | None

    @property
    def logins(self) -> tuple[str, ...]:
        return ("s3",)


Location = GitLocation | BucketLocation


def read_location(text: str, source_type: str, allowed_private_hosts: Collection[str] = ()) -> Location:
    """The location, if it is one that may be pulled from as far as can be told without asking anybody.

    Raises ``LocationError`` for what is no such address, for private hosts and for one that holds a password.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        raise LocationError("must be printable ASCII text without blanks")
    try:
        if source_type == "s3":
            return _bucket(text, allowed_private_hosts)
        return _git(text, source_type, allowed_private_hosts)
    except FetchError as error:
        raise LocationError(error.message) from None


def repository_name(location: Location) -> str:
    """What a repository is called: the last part of its address without ``.git``, or the bucket."""
    if isinstance(location, BucketLocation):
        return location.bucket
    return re.split("[/:]", location.url.rstrip("/"))[-1].removesuffix(".git")


def _git(text: str, source_type: str, allowed: Collection[str]) -> GitLocation:
    scp = _SCP.fullmatch(text)
    if scp:
        user, host, path = scp.groups()
        if not _HOST.fullmatch(host) or not _USER.fullmatch(user) or path.startswith("-"):
            raise LocationError("must be https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH")
        check_host(host, allowed)
        return GitLocation(f"{user}@{host}:{path}", "ssh", host, 22, source_type)
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or ""), parts.port
    except ValueError as error:
        raise LocationError(f"is no URL: {error}") from None
    if parts.scheme not in {"https", "http", "ssh"} or not _HOST.fullmatch(host):
        raise LocationError("must be https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH")
    if parts.password is not None or (parts.scheme != "ssh" and parts.username is not None):
        raise LocationError("must not hold a user name or password; store a credential and name it by credentialId")
    if parts.query or parts.fragment or len(parts.path.strip("/")) == 0 or parts.path.startswith("/-"):
        raise LocationError("must name a repository below the host, without '?' and '#'")
    check_host(host, allowed)
    if parts.scheme == "http" and host not in allowed:
        raise LocationError("plain http is only for hosts that allowed_private_hosts names; use https")
    path = _web_path(parts.path, source_type) if parts.scheme != "ssh" else parts.path
    user = ""
    if parts.scheme == "ssh":
        user = f"{parts.username or 'git'}@"
        if not _USER.fullmatch(user[:-1]):
            raise LocationError("the user name of an ssh address has letters, digits, '.', '_' and '-' only")
    shown = f"[{host}]" if ":" in host else host
    number = port or {"https": 443, "http": 80, "ssh": 22}[parts.scheme]
    address = shown if port is None else f"{shown}:{port}"
    return GitLocation(f"{parts.scheme}://{user}{address}{path}", parts.scheme, host, number, source_type)


def _web_path(path: str, source_type: str) -> str:
    """The path to clone from; Bitbucket's users copy the one to browse."""
    path = path.rstrip("/")
    if source_type == "bitbucket-server" and (browsed := _BROWSED.fullmatch(path)):
        before, project, name = browsed.groups()
        return f"{before}/scm/{project}/{name}.git"
    return path


def _bucket(text: str, allowed: Collection[str]) -> BucketLocation:
    endpoint = None
    if text.startswith("s3://"):
        text = text.removeprefix("s3://")
    elif "://" in text:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise LocationError(f"is no URL: {error}") from None
        is_web = parts.scheme in {"http", "https"} and bool(_HOST.fullmatch(host))
        if not is_web or parts.username is not None or parts.query or parts.fragment:
            raise LocationError("must be a bucket's name, s3://BUCKET/FOLDER or https://ENDPOINT/BUCKET/FOLDER")
        check_host(host, allowed)
        if parts.scheme == "http" and host not in allowed:
            raise LocationError("plain http is only for hosts that allowed_private_hosts names; use https")
        shown = f"[{host}]" if ":" in host else host
        endpoint = f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")
        text = parts.path.lstrip("/")
    bucket, _, prefix = text.partition("/")
    if not _BUCKET.fullmatch(bucket) or ".." in bucket or re.fullmatch(r"[\d.]+", bucket):
        raise LocationError(f"{bucket!r} is no bucket: a name has 3 to 63 of a-z, 0-9, '.' and '-'")
    prefix = prefix.strip("/")
    return BucketLocation(bucket, f"{prefix}/" if prefix else "", endpoint)
