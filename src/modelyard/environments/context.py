"""The context of an environment version: the archive that a user sends, and what an executor can make of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from modelyard.environments.requirements import MAX_TEXT_BYTES
from modelyard.kernel.errors import Invalid
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.archives import read_archive

DOCKERFILE = "Dockerfile"
REQUIREMENTS_FILE = "requirements.txt"
START_SCRIPT = "start_server.sh"
CONTEXT_LIMITS = ArchiveLimits(members=1_000, total_bytes=1 << 30, ratio=250)

_LITTER = frozenset({"__MACOSX", ".DS_Store"})


@dataclass(frozen=True)
class Context:
    """What an archive holds. ``paths`` are relative to the context's folder, which may be a folder of the archive."""

    paths: tuple[str, ...]
    top_folder: str
    """With its slash; empty when the files are at the top of the archive."""
    requirements: bytes | None
    """The content of ``requirements.txt``."""

    @property
    def has_requirements(self) -> bool:
        return self.requirements is not None

    @property
    def has_start_script(self) -> bool:
        return START_SCRIPT in self.paths

    @property
    def has_dockerfile(self) -> bool:
        return DOCKERFILE in self.paths


def survey_context(file: BinaryIO, limits: ArchiveLimits = CONTEXT_LIMITS) -> Context:
    """Read a zip, tar or tar.gz through once, and say what is in it. ``file`` must be seekable.

    Raises ``Invalid`` for whatever an archive must not hold (see ``storage.archives``) and for one without files.
    """
    file.seek(0)
    names: list[str] = []
    requirements: dict[str, bytes] = {}
    for path, content in read_archive(file, limits):
        if _is_litter(path):
            continue
        names.append(path)
        if path.rsplit("/", 1)[-1] == REQUIREMENTS_FILE and path.count("/") <= 1:
            requirements[path] = _limited(content, path)
    if not names:
        raise Invalid("The archive cannot be used: there is no file in it.")
    top = _top_folder(names)
    return Context(tuple(name.removeprefix(top) for name in names), top, requirements.get(top + REQUIREMENTS_FILE))


def read_context(
    file: BinaryIO, context: Context, limits: ArchiveLimits = CONTEXT_LIMITS
) -> Iterator[tuple[str, BinaryIO]]:
    """The files of a surveyed archive: (path in the context, content), each to be read before the next is asked for."""
    file.seek(0)
    for path, content in read_archive(file, limits):
        if not _is_litter(path):
            yield path.removeprefix(context.top_folder), content


def refuse_what_needs_containers(context: Context, executor: str) -> None:
    """Refuse a context that only a container executor can build.

    A Dockerfile beside a ``requirements.txt`` or a ``start_server.sh`` is passed over by the ``process`` executor.
    Raises ``Invalid`` with the name of the executor that it takes.
    """
    if executor == "container" or context.has_requirements or context.has_start_script:
        return
    if context.has_dockerfile:
        raise Invalid(
            f"This context has a {DOCKERFILE} only, which takes the container executor (Docker or Podman); this server "
            f"runs the {executor} executor. Add a {REQUIREMENTS_FILE} with the packages, a {START_SCRIPT}, or both."
        )
    raise Invalid(
        f"This context has neither a {REQUIREMENTS_FILE} nor a {START_SCRIPT} nor a {DOCKERFILE} at its top: "
        f"it holds {', '.join(context.paths[:5])}. Add the one that the environment needs."
    )


def _limited(content: BinaryIO, path: str) -> bytes:
    text = content.read(MAX_TEXT_BYTES + 1)
    if len(text) > MAX_TEXT_BYTES:
        raise Invalid(f"{path} is larger than {MAX_TEXT_BYTES} bytes.")
    return text


def _is_litter(path: str) -> bool:
    """What macOS adds to archives."""
    return not _LITTER.isdisjoint(path.split("/"))


def _top_folder(names: list[str]) -> str:
    """The one folder that everything is in, if there is one."""
    first = names[0].partition("/")
    folder = first[0] + first[1]
    return folder if first[1] and all(name.startswith(folder) for name in names) else ""
