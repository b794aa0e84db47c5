"""How the entry point of a run is executed, inside and around the sandbox."""

from modelyard.kernel.errors import invalid
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.checkout import is_program
from modelyard.workspaces.service import StoredFile

OUTPUT_FOLDER = "output"
"""Below the working folder: what is written there is kept with the run."""

EVENT_FILE = "event.json"

_PREPARE = """
mkdir -p "$MODELYARD_OUTPUT_DIR"
if [ -n "${MODELYARD_EVENT:-}" ]; then printf '%s\\n' "$MODELYARD_EVENT" > "$MODELYARD_EVENT_FILE"; fi
find "$MODELYARD_CODE_DIR" -mindepth 1 -maxdepth 1 -exec ln -s -t . {} + 2>/dev/null || :
exec "$@"
"""
"""The code folder is read-only, and programs like to write where they are. So they are in a folder of their own,
which links to each of the files: what they name is found, and what they write has a place."""


def require_program(blobs: BlobStore, file: StoredFile) -> None:
    """Raises ``Invalid`` for a file that nothing here can execute."""
    if not file.path.endswith((".sh", ".py")) and not is_program(blobs, file):
        raise invalid(
            entryPoint=f"{file.path} cannot be executed: it needs to end in .sh or .py, or to begin with '#!'"
        )


def command(blobs: BlobStore, file: StoredFile) -> tuple[str, ...]:
    """The command of the run's workload. A program that names its interpreter is started by that."""
    place = "{code}/" + file.path
    if is_program(blobs, file):
        program: tuple[str, ...] = (place,)
    elif file.path.endswith(".py"):
        program = ("{image}/bin/python", place)
    else:
        program = ("/bin/sh", place)
    return ("/bin/sh", "-c", _PREPARE, "job", *program)
