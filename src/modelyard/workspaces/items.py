"""The files of a workspace as the wire shows them."""

from collections.abc import Iterable
from datetime import datetime

from modelyard.kernel.wire import Moment, Schema, moment
from modelyard.workspaces.service import StoredFile


class WorkspaceItemResponse(Schema):
    """One file. ``storage_path`` ends in the SHA-256 of its content, so a client can tell what it has already."""

    id: str
    file_name: str
    file_path: str
    file_source: str
    created: Moment
    storage_path: str
    workspace_id: str
    commit_sha: str | None
    ref: str | None
    repository_file_path: str | None
    repository_location: str | None
    repository_name: str | None


def items(workspace_id: str, files: Iterable[StoredFile]) -> list[WorkspaceItemResponse]:
    """The files of one workspace, in their order."""
    written: dict[datetime, str] = {}  # files come in few uploads: each time is formatted once
    return [
        WorkspaceItemResponse(
            id=file.id,
            file_name=file.path.rpartition("/")[2],
            file_path=file.path,
            file_source=file.source,
            created=written.get(file.created_at) or written.setdefault(file.created_at, moment(file.created_at)),
            storage_path=f"{file.digest[:2]}/{file.digest}",
            workspace_id=workspace_id,
            commit_sha=file.commit_sha,
            ref=file.ref,
            repository_file_path=file.repository_path,
            repository_location=file.repository_location,
            repository_name=file.repository_name,
        )
        for file in files
    ]
