"""Erasing what was deleted for good: its files and logs, where nobody else has the same, and the copies of them."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from modelyard.operations import service as operations
from modelyard.workspaces import service as workspaces

ERASE = "blobs.erase"
BATCH = 1000


def erase(session: Session, workspace_ids: Collection[str], log_digests: Collection[str | None] = ()) -> None:
    """Remove workspaces, and have an operation delete blobs and checkouts that nothing refers to any more.

    ``log_digests`` are blobs beside the files, such as logs, whose rows go in this transaction.
    """
    digests = {digest for digest in log_digests if digest is not None}
    checkouts: set[str] = set()
    for files in workspaces.files_by_id(session, workspace_ids).values():
        digests.update(file.digest for file in files)
        checkouts.add(workspaces.tree_digest(files))
    workspaces.remove(session, workspace_ids)
    wanted = [*(("blob", one) for one in sorted(digests)), *(("checkout", one) for one in sorted(checkouts))]
    for start in range(0, len(wanted), BATCH):
        some = wanted[start : start + BATCH]
        payload = {
            "blobs": [name for kind, name in some if kind == "blob"],
            "checkouts": [name for kind, name in some if kind == "checkout"],
        }
        operations.start(session, None, ERASE, status_type="Erasure", payload=payload)
