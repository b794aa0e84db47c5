"""Pulling from a repository in the background: two steps that any operation can begin with.

The payload of such an operation holds ``pull(...)``. After ``STEPS`` its last step asks ``pulled_files`` for what came
and makes of it whatever it is for; ``tidy`` is for its other ends. The commit is settled in the first step: a step that
is repeated pulls the same.
"""

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from modelyard.credentials.service import OpenCredential, open_credential
from modelyard.identity.caller import Caller, find_active_caller
from modelyard.kernel.errors import Conflict, NotFound
from modelyard.kernel.secret_box import SecretBox
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UnsetType
from modelyard.operations.work import OperationFailed, Step, Work
from modelyard.repositories import buckets, git_pull, logins
from modelyard.repositories.git_program import Git, GitError, Leash, check_version
from modelyard.repositories.git_pull import Commit
from modelyard.repositories.locations import (
    BucketLocation,
    GitLocation,
    Location,
    LocationError,
    read_location,
    repository_name,
)
from modelyard.repositories.logins import LoginError
from modelyard.repositories.pulled import Found, Limits, PullError, read_source_paths
from modelyard.repositories.service import find_repository
from modelyard.storage.blobs import Blob, BlobStore
from modelyard.storage.public_hosts import FetchError, public_addresses
from modelyard.storage.web_fetch import LOCATE_TIMEOUT_S, locate
from modelyard.workspaces.service import NewFile

ADVERTISEMENT: Final = "application/x-git-upload-pack-advertisement"
_SERVICE: Final = "/info/refs?service=git-upload-pack"


def pull(repository_id: str, ref: str | UnsetType, source_path: str | list[str] | UnsetType) -> dict[str, Any]:
    """What the payload of an operation with these steps holds under ``pull``; ``service.pull_faults`` has passed."""
    return {
        "repository_id": repository_id,
        "ref": ref if isinstance(ref, str) and ref else None,
        "paths": list(read_source_paths("" if isinstance(source_path, UnsetType) else source_path)),
    }


def resolve(work: Work) -> dict[str, Any]:
    """Settles which commit is pulled."""
    source = _source(work)
    if isinstance(source.location, BucketLocation):
        return {"source": _described(source, None)}
    work.say(f"Looking for {source.ref or 'the default branch'} of {source.name}.")
    with _pulling(work, source), _git(work, source, source.location) as git:
        commit = git_pull.resolve(git, source.ref)
    return {"source": _described(source, commit)}


def fetch(work: Work) -> dict[str, Any]:
    """Stores the files as blobs; the operation's state remembers where each of them goes."""
    source = _source(work)
    settings = work.parts.get(Settings)
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    limits = Limits(settings.max_files_per_version, settings.max_pull_bytes)
    sha = None
    with _pulling(work, source):
        if isinstance(source.location, BucketLocation):
            work.say(f"Listing {source.name}.")
            leash = _leash(work, settings)
            with buckets.open_bucket(
                source.location, source.credential, settings.allowed_private_hosts, leash.deadline, leash.check
            ) as bucket:
                found = buckets.find(bucket, source.location, source.paths, limits)
                work.say(f"Pulling {len(found)} files from {source.name}.")
                stored = buckets.read(bucket, found, blobs)
        else:
            commit = Commit(work.state["source"]["target"], work.state["source"]["ref"])
            work.say(f"Pulling {commit.ref} of {source.name}.")
            with _git(work, source, source.location) as git:
                sha, found = git_pull.fetch(git, commit, source.paths, limits)
                work.say(f"Storing {len(found)} files of {source.name}.")
                stored = git_pull.read(git, found, blobs, work.checkpoint)
    return {"commit": sha, "files": [_noted(one, blob) for one, blob in zip(found, stored, strict=True)]}


STEPS: Final[tuple[Step, ...]] = (resolve, fetch)


def tidy(work: Work, _message: str = "") -> None:
    """Removes what an attempt left that was killed; for ``on_failure`` and ``on_cancel`` of the operations."""
    shutil.rmtree(_place(work), ignore_errors=True)


def pulled_files(work: Work) -> list[NewFile]:
    """What the finished steps brought, as files of a workspace."""
    source = work.state["source"]
    return [
        NewFile(
            path,
            digest,
            size_bytes,
            source=source["source_type"],
            commit_sha=work.state["commit"],
            ref=source["ref"],
            repository_name=source["name"],
            repository_location=source["location"],
            repository_path=repository_path,
        )
        for path, digest, size_bytes, repository_path in work.state["files"]
    ]


def acting_caller(session: Session, work: Work) -> Caller:
    """The user who asked for the pull, if their account is still active."""
    caller = None if work.created_by is None else find_active_caller(session, work.created_by)
    if caller is None:
        raise OperationFailed("The account that asked for this is not active any more.")
    return caller


@dataclass(frozen=True)
class _Source:
    """A repository at this moment, with its credential in plain."""

    name: str
    source_type: str
    shown_location: str
    location: Location
    credential: OpenCredential | None
    ref: str | None
    paths: tuple[str, ...]


def _source(work: Work) -> _Source:
    wish = work.payload["pull"]
    settings, box = work.parts.get(Settings), work.parts.get(SecretBox)
    with work.database.read() as session:
        caller = acting_caller(session, work)
        try:
            row = find_repository(session, caller, wish["repository_id"])
        except NotFound:
            raise OperationFailed("The remote repository was deleted before anything was pulled.") from None
        try:
            location = read_location(row.location, row.source_type, settings.allowed_private_hosts)
            opened = None if row.credential_id is None else open_credential(session, caller, box, row.credential_id)
        except LocationError as error:
            raise OperationFailed(f"The location of {row.name!r}: {error}.") from None
        except (NotFound, Conflict) as error:
            raise OperationFailed(f"The credential of {row.name!r} cannot be used: {error.message}") from None
        if opened is not None and opened.credential_type not in location.logins:
            raise OperationFailed(f"The credential of {row.name!r} is of the type {opened.credential_type}.")
        paths = tuple(wish["paths"])
        return _Source(row.name, row.source_type, row.location, location, opened, wish["ref"], paths)


def _described(source: _Source, commit: Commit | None) -> dict[str, Any]:
    return {
        "source_type": source.source_type,
        "name": repository_name(source.location)[:255],
        "location": source.shown_location,
        "target": None if commit is None else commit.target,
        "object_format": None if commit is None else commit.object_format,
        "ref": None if commit is None else commit.ref[:255],
    }


def _noted(one: Found, blob: Blob) -> list[Any]:
    return [one.path, blob.digest, blob.size_bytes, one.repository_path]


@contextmanager
def _pulling(work: Work, source: _Source) -> Iterator[None]:
    """Turns what goes wrong with a repository into the end of the operation, with its name."""
    work.checkpoint()
    try:
        yield
    except (PullError, GitError, LoginError, FetchError) as error:
        raise OperationFailed(f"{source.name}: {error.message}") from None


@contextmanager
def _git(work: Work, source: _Source, location: GitLocation) -> Iterator[Git]:
    """Git in a folder of its own, which is gone afterwards; what a killed attempt left goes first."""
    settings = work.parts.get(Settings)
    check_version()
    tidy(work)
    place = _place(work)
    folder = place / secrets.token_hex(8)
    folder.mkdir(parents=True, mode=0o700)
    try:
        with ExitStack() as stack:
            if location.scheme != "ssh":
                location = _final(work, location, source, settings)
            git = Git(
                folder,
                location,
                public_addresses(location.host, location.port, settings.allowed_private_hosts),
                _leash(work, settings),
                settings.data_dir / "ssh_known_hosts",
            )
            _log_in(git, source.credential, stack)
            git.prepare(_object_format(work))
            yield git
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # another controller has begun an attempt of its own in there
            place.rmdir()


def _place(work: Work) -> Path:
    return work.parts.get(Settings).data_dir / "spool" / f"pull-{work.id}"


def _log_in(git: Git, credential: OpenCredential | None, stack: ExitStack) -> None:
    if credential is None:
        return
    if git.location.scheme == "ssh":
        git.key = stack.enter_context(logins.key_file(credential))
        git.secrets = logins.secrets_of(credential)
    else:
        git.authorization = logins.header(git.location, credential)
        git.secrets = logins.secrets_of(credential, git.authorization)


def _leash(work: Work, settings: Settings) -> Leash:
    deadline = time.monotonic() + settings.pull_timeout_s
    return Leash(deadline, settings.pull_timeout_s, settings.max_pull_bytes, work.checkpoint)


def _object_format(work: Work) -> str:
    """As the first step found it; before that, nothing but refs is asked for, which needs none."""
    return (work.state.get("source") or {}).get("object_format") or "sha1"


def _final(work: Work, location: GitLocation, source: _Source, settings: Settings) -> GitLocation:
    """Where the repository has moved to. A login is not taken to another host."""
    there = locate(
        location.url + _SERVICE,
        allowed_private_hosts=settings.allowed_private_hosts,
        timeout_s=min(LOCATE_TIMEOUT_S, settings.pull_timeout_s),
        check=work.checkpoint,
    )
    if there.status == 200 and not there.headers.get("content-type", "").startswith(ADVERTISEMENT):
        raise PullError(f"{location.url} is no Git repository that can be pulled from: it answers with something else.")
    if there.url == location.url + _SERVICE:
        return location
    if not there.url.endswith(_SERVICE):
        raise PullError(f"{location.url} redirects to {there.url[:200]}, which is no Git repository.")
    url = there.url.removesuffix(_SERVICE)
    try:
        moved = read_location(url, "git", settings.allowed_private_hosts)
    except LocationError as error:
        raise PullError(f"{location.url} redirects to {url[:200]}: {error}.") from None
    assert isinstance(moved, GitLocation)  # noqa: S101 # only s3 is none
    before = (location.scheme, location.host, location.port)
    if source.credential is not None and (moved.scheme, moved.host, moved.port) != before:
        raise PullError(
            f"{location.url} redirects to the host {moved.host}, which the credential is not sent to; "
            f"if it is right, make {url[:200]} the location."
        )
    return GitLocation(moved.url, moved.scheme, moved.host, moved.port, location.source_type)
