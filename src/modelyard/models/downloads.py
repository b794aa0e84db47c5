"""The files of a version as a zip."""

from sqlalchemy.orm import Session

from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import NotFound
from modelyard.kernel.routing import Download
from modelyard.kernel.wire import read_bool
from modelyard.models.doors import MODELS, Door
from modelyard.models.schemas import DownloadQuery
from modelyard.models.service import find_model, find_version
from modelyard.models.tables import CustomModelVersion
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.downloads import zip_download

INSTALL_SCRIPT = "install_dependencies.sh"
INSTALL_SCRIPT_TEXT = b"""#!/bin/sh
# Installs what the model needs beyond its base environment. Run it in the environment that will run the model.
set -eu
cd "$(dirname "$0")"
if [ ! -f requirements.txt ]; then
    echo "This model has no requirements.txt: there is nothing to install."
    exit 0
fi
exec "${PYTHON:-python3}" -m pip install --requirement requirements.txt "$@"
"""


def download_latest(
    session: Session, caller: Caller, blobs: BlobStore, model_id: str, query: DownloadQuery, door: Door = MODELS
) -> Download:
    """The latest version's files; ``NotFound`` before there is a version."""
    model = find_model(session, caller, model_id, Permission.VIEW, door=door)
    if model.latest_version_id is None:
        raise NotFound(f"{door.title} {model_id} has no version yet: there is nothing to download.")
    return _download(session, blobs, session.get_one(CustomModelVersion, model.latest_version_id), query)


def download_version(
    session: Session,
    caller: Caller,
    blobs: BlobStore,
    model_id: str,
    version_id: str,
    query: DownloadQuery,
    door: Door = MODELS,
) -> Download:
    _, version = find_version(session, caller, version_id, Permission.VIEW, model_id=model_id, door=door)
    return _download(session, blobs, version, query)


def _download(session: Session, blobs: BlobStore, version: CustomModelVersion, query: DownloadQuery) -> Download:
    """``pps=true`` adds a script that installs the dependencies, unless the model has a file of that name."""
    files = workspaces.files_by_id(session, [version.workspace_id])[version.workspace_id]
    extra = {INSTALL_SCRIPT: INSTALL_SCRIPT_TEXT} if read_bool(query.pps, "pps") else {}
    return zip_download(blobs, files, f"model-{version.model_id}-version-{version.id}.zip", extra)
