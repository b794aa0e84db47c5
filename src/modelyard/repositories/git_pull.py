"""Pulling from a Git server: which commit a ref is, which files it has, and their content, read as objects."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Final

from modelyard.kernel.file_paths import one_text, shown
from modelyard.repositories.git_program import Git, GitError
from modelyard.repositories.pulled import Found, Limits, PullError, sort_out
from modelyard.storage.blobs import CHUNK_BYTES, Blob, BlobStore

WRITERS: Final = 4
"""How many files are stored at once: each waits for the disk, and several waits cost little more than one."""
_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHORT_SHA: Final = re.compile(r"[0-9a-f]{7,64}")
_LARGE_FILE_POINTER: Final = b"version https://git-lfs.github.com/spec/v1\n"
_PLAIN_MODES: Final = frozenset({b"100644", b"100755", b"100664"})
_OTHER_MODES: Final = {b"120000": "a symbolic link", b"160000": "a submodule"}


@dataclass(frozen=True)
class Commit:
    """What a ref stands for. ``target`` is what to ask the server for: the commit, or the tag that names it."""

    target: str
    ref: str
    object_format: str = "sha1"


def resolve(git: Git, ref: str | None) -> Commit:
    """The commit that a branch, a tag, or the (shortened) name of a commit stands for; none is the default branch.

    Names are tried in git's own order (gitrevisions): as they are, below ``refs/``, as a tag, as a branch. Raises
    ``PullError``.
    """
    refs, head = _refs(git)
    object_format = "sha256" if any(len(sha) == 64 for sha in refs.values()) else "sha1"
    if ref is None:
        if "HEAD" not in refs:
            hint = "its default branch does not exist; name a ref" if refs else "it has no commit yet; push one first"
            raise PullError(f"The repository is empty or {hint}.")
        return Commit(refs["HEAD"], (head or "HEAD").removeprefix("refs/heads/"), object_format)
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in refs:
            return Commit(refs[name], ref, object_format)
    if _SHORT_SHA.fullmatch(ref.lower()):
        return Commit(ref.lower(), ref, object_format)
    if not refs:
        raise PullError("The repository is empty: it has no commit yet; push one first.")
    names = [name.split("/", 2)[2] for name in refs if name.startswith(("refs/heads/", "refs/tags/"))]
    few = one_text([shown(name) for name in sorted(names)])
    raise PullError(f"The repository has no branch, tag or commit {shown(ref)}; it has {few or 'none'}.")


def fetch(git: Git, commit: Commit, wanted: Sequence[str], limits: Limits) -> tuple[str, list[Found]]:
    """Fetches what is needed for the wanted paths; the commit's name and the files to read.

    Of a whole tree, everything under the limit comes in one request; of some paths, the listing comes first and then
    just their files, where the server can do that. Raises ``PullError``.
    """
    sha = _fetch_commit(git, commit, "blob:none" if wanted else f"blob:limit={limits.bytes + 1}")
    found = sort_out(_plain_files(git, sha, wanted), wanted, limits)
    sizes = _sizes(git)
    missing = sorted({one.key for one in found if one.key not in sizes})
    if missing and wanted:
        _fetch_blobs(git, commit, missing, limits)
        sizes = _sizes(git)
    if lacking := [shown(one.repository_path) for one in found if one.key not in sizes]:
        raise PullError(
            f"These files have more than the {limits.bytes} bytes that are allowed or are "
            f"no files but only said to be: {one_text(lacking)}."
        )
    sized = ((one.repository_path, one.key, sizes[one.key]) for one in found)
    return sha, sort_out(sized, wanted, limits)


def read(git: Git, found: Sequence[Found], blobs: BlobStore, check: Callable[[], None]) -> list[Blob]:
    """Stores the files, in their order. Raises ``PullError`` for one that stands for a file kept elsewhere."""
    keys = list(dict.fromkeys(one.key for one in found))
    with (git.folder / "content").open("w+b") as content:
        _stream(git, ("cat-file", "--batch", "--buffer"), content, "".join(f"{key}\n" for key in keys).encode())
        content.seek(0)
        places = [_place(content) for _ in keys]

        def store(place: tuple[int, int]) -> tuple[Blob, bool]:
            check()
            return _store(content.fileno(), *place, blobs)

        with ThreadPoolExecutor(WRITERS, thread_name_prefix="store") as pool:
            stored = dict(zip(keys, pool.map(store, places), strict=True))
    pointers = {key for key, (_, is_pointer) in stored.items() if is_pointer}
    if pointers:
        paths = one_text([shown(one.repository_path) for one in found if one.key in pointers])
        raise PullError(
            f"These files are kept with Git LFS, which is not pulled: {paths}. "
            "Commit them as plain files, or upload them to the version."
        )
    return [stored[one.key][0] for one in found]


def _place(content: IO[bytes]) -> tuple[int, int]:
    """Where the next object of a batch begins, and its size, in bytes; goes on to the one after it."""
    size = int(content.readline().split()[2])
    start = content.tell()
    content.seek(size + 1, os.SEEK_CUR)
    return start, size


def _store(descriptor: int, start: int, size: int, blobs: BlobStore) -> tuple[Blob, bool]:
    """Stores one file of a batch, and tells whether it stands for a file kept elsewhere."""
    end, is_pointer = start + size, False
    with blobs.writer() as writer:
        for at in range(start, end, CHUNK_BYTES):
            wanted = min(CHUNK_BYTES, end - at)
            data = os.pread(descriptor, wanted, at)
            if len(data) != wanted:
                raise PullError("The repository's content ended early.")
            is_pointer = is_pointer or (at == start and data.startswith(_LARGE_FILE_POINTER))
            writer.write(data)
        return writer.finish(), is_pointer


_FETCH: Final = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--recurse-submodules=no",
    "--filter=blob:none",
)


def _refs(git: Git) -> tuple[dict[str, str], str | None]:
    """All refs of the server, and what its HEAD is a name for."""
    refs: dict[str, str] = {}
    head = None
    for line in _run(git, "ls-remote", "--quiet", "--symref", "origin").decode("utf-8", "replace").splitlines():
        sha, _, name = line.partition("\t")
        if sha.startswith("ref: "):
            head = sha.removeprefix("ref: ") if name == "HEAD" else head
        elif _SHA.fullmatch(sha) and not name.endswith("^{}"):
            refs[name] = sha
    return refs, head


def _fetch_commit(git: Git, commit: Commit, filter_: str) -> str:
    """Fetches one commit without its history; one that is named in short is looked for in the history of all refs."""
    if _SHA.fullmatch(commit.target):
        try:
            _run(git, *_FETCH[:-1], f"--filter={filter_}", "--depth=1", "origin", commit.target)
            return _commit_name(git, commit.target)
        except PullError as error:
            unknown = ("not our ref", "no such remote ref", "unadvertised object", "couldn't find remote ref")
            if not any(text in error.message for text in unknown):
                raise
            raise _no_commit(commit) from None
    sha = _looked_up(git, commit)
    _run(git, *_FETCH[:-1], f"--filter={filter_}", "--depth=1", "--refetch", "origin", sha)
    return sha


def _looked_up(git: Git, commit: Commit) -> str:
    """The whole name of a commit that is named in short, by fetching the commits of all branches and tags.

    They are fetched by their names, because a tag may name a tree or a file, which no ref of ours may be then.
    """
    refs, _ = _refs(git)
    tips = sorted({sha for name, sha in refs.items() if name.startswith(("refs/heads/", "refs/tags/"))})
    given = "".join(f"{one}\n" for one in tips).encode()
    _run(git, *_FETCH[:-1], "--filter=tree:0", "--stdin", "origin", given=given)
    try:
        return _commit_name(git, commit.target)
    except PullError:
        listed = _run(git, "rev-parse", f"--disambiguate={commit.target}", offline=True).split()
        if len(listed) > 1:
            raise PullError(
                f"{shown(commit.ref)} is the beginning of {len(listed)} names; name more of the commit."
            ) from None
        raise _no_commit(commit) from None


def _fetch_blobs(git: Git, commit: Commit, keys: Sequence[str], limits: Limits) -> None:
    """Fetches just these files or, where the server gives commits only (git's protocol 0, over ssh), all of them."""
    try:
        _run(git, *_FETCH, "--stdin", "origin", given="".join(f"{one}\n" for one in keys).encode())
    except PullError as error:
        if "unadvertised object" not in error.message:
            raise
        whole = f"--filter=blob:limit={limits.bytes + 1}"
        _run(git, *_FETCH[:-1], whole, "--depth=1", "--refetch", "origin", commit.target)


def _no_commit(commit: Commit) -> PullError:
    return PullError(f"The repository has no commit {shown(commit.ref)}; name a branch, a tag or a whole commit name.")


def _commit_name(git: Git, target: str) -> str:
    name = _run(git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{target}^{{commit}}", offline=True)
    return name.decode().strip()


def _plain_files(git: Git, sha: str, wanted: Sequence[str]) -> Iterator[tuple[str, str, None]]:
    """The files of a commit below the wanted paths; raises ``PullError`` if anything there is no plain file."""
    listing = _run(git, "ls-tree", "-r", "-z", "--full-tree", sha, "--", *wanted, offline=True)
    odd = []
    for entry in listing.split(b"\0")[:-1]:
        head, _, raw = entry.partition(b"\t")
        mode, _, key = head.split(b" ")
        path = raw.decode("utf-8", "surrogateescape")
        if mode in _PLAIN_MODES:
            yield path, key.decode(), None
        else:
            odd.append(f"{shown(path)} is {_OTHER_MODES.get(mode, 'no plain file')}")
    if odd:
        raise PullError(
            f"Only plain files are pulled: {one_text(odd)}. Put files in their place, or name others in sourcePath."
        )


def _sizes(git: Git) -> dict[str, int]:
    """The sizes of all blobs that were fetched, by name."""
    listed = _run(git, "cat-file", "--batch-check", "--batch-all-objects", "--unordered", offline=True)
    lines = (line.split() for line in listed.decode().splitlines())
    return {key: int(size) for key, type_, size in lines if type_ == "blob"}


def _run(git: Git, *words: str, given: bytes = b"", offline: bool = False) -> bytes:
    try:
        return git.run(*words, given=given, offline=offline)
    except GitError as error:
        raise PullError(_explained(error.message)) from None


def _stream(git: Git, words: Sequence[str], output: IO[bytes], given: bytes) -> None:
    try:
        git.stream(words, output, given, offline=True)
    except GitError as error:
        raise PullError(_explained(error.message)) from None


_EXPLANATIONS: Final = {
    "It asks for a login: store a credential that may read it, and name it by credentialId.": (
        "could not read Username",
        "Authentication failed",
        "error: 401",
    ),
    "It refuses the login: name a credential of the type rsa whose key may read it.": ("Permission denied",),
    "The login may not read it.": ("error: 403",),
    "There is no such repository, or only a login may see it; look at its location.": (
        "not found",
        "error: 404",
        "does not exist",
        "does not appear to be a git",
    ),
    "It redirects to another address; make that the location.": ("error: 30", "redirect"),
    "The host's key is not the one that it had before; who runs this server must look into it.": (
        "Host key verification failed",
        "HOST IDENTIFICATION HAS CHANGED",
    ),
}
"""What git's words mean for whoever pulls."""


def _explained(message: str) -> str:
    for meaning, texts in _EXPLANATIONS.items():
        if any(text in message for text in texts):
            return f"The repository cannot be read. {meaning} Git says: {message}"
    return message if message[:4] in {"The ", "This"} else f"The repository cannot be read. Git says: {message}"
