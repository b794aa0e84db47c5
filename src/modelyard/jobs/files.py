"""The files of a job: which of them runs, what they define, and one file's text."""

from collections.abc import Iterable, Sequence

from sqlalchemy.orm import Session

from modelyard.jobs.schemas import CustomJobFileResponse
from modelyard.kernel.errors import NotFound, invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces import texts
from modelyard.workspaces.service import StoredFile

METADATA_FILE = "metadata.yaml"
DEFAULT_ENTRY_POINTS = ("run.sh", "main.py")


def entry_point(files: Iterable[StoredFile], chosen_path: str | None) -> StoredFile | None:
    """The file that runs: the chosen one, else ``run.sh``, else ``main.py``; None when there is none of them."""
    by_path = {file.path: file for file in files}
    for path in (chosen_path, *DEFAULT_ENTRY_POINTS):
        if path is not None and path in by_path:
            return by_path[path]
    return None


def chosen_entry_point(files: Sequence[StoredFile], item_id: str) -> str | None:
    """The path of the item that is to run; an empty id means the default again. Raises ``Invalid``."""
    if not item_id:
        return None
    for file in files:
        if file.id == item_id:
            return file.path
    known = ", ".join(f"{file.path} ({file.id})" for file in files[:20]) or "none"
    raise invalid(entryPoint=f"there is no item {item_id!r} in the job's files; there are: {known}")


def read_text(session: Session, blobs: BlobStore, workspace_id: str, item_id: str) -> CustomJobFileResponse:
    """One file as text. Raises ``NotFound``, and ``Invalid`` for what is no UTF-8 text or too long to show."""
    found = workspaces.find_file_by_id(session, workspace_id, item_id)
    if found is None:
        raise NotFound(f"There is no item {item_id} in these files.")
    content = texts.read_text(blobs, found, "itemId")
    name = found.path.rpartition("/")[2]
    return CustomJobFileResponse(id=found.id, file_name=name, file_path=found.path, content=content)
