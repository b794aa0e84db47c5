"""Uploaded files as files of a workspace."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from modelyard.kernel.errors import Invalid, invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.uploads import pair_files
from modelyard.kernel.wire import NOT_JSON, decode_json
from modelyard.storage.archive_checks import ArchiveLimits
from modelyard.storage.blobs import Blob, BlobStore, store_stream
from modelyard.storage.zip_reading import read_zip
from modelyard.workspaces.service import NewFile


def uploaded_files(form: FormInput[Blob]) -> list[NewFile]:
    """The ``file`` parts, each at its ``filePath``; raises ``Invalid`` for paths that are refused.

    Where no ``filePath`` is sent at all, the name of the upload is the path. A JSON body has no files.
    """
    paths = form.values.get("filePath") if form.is_json else None
    if paths:
        raise invalid(filePath="a JSON body has no files; send them as multipart/form-data, one filePath for each file")
    return [NewFile(path, blob.digest, blob.size_bytes) for path, blob in pair_files(form.form)]


def zipped_files(blobs: BlobStore, archive: Blob, limits: ArchiveLimits, *, field: str = "file") -> list[NewFile]:
    """The files of an uploaded zip, each stored as a blob; raises ``Invalid`` on ``field`` for a hostile or broken one.

    What was stored of a zip that is refused later is collected with everything else that nothing refers to.
    """
    try:
        with blobs.open(archive.digest) as source:
            return [_stored(blobs, path, content) for path, content in read_zip(source, limits)]
    except Invalid as error:
        raise invalid(**{field: error.message}) from error


def _stored(blobs: BlobStore, path: str, content: BinaryIO) -> NewFile:
    blob = store_stream(blobs, content)
    return NewFile(path, blob.digest, blob.size_bytes)


def ids_to_delete(value: object, field: str = "filesToDelete") -> list[str]:
    """File ids as clients send them: one text, a list, or one text that holds a JSON list. Nothing is no id."""
    texts: Sequence[Any] = value if isinstance(value, list) else [] if value in {None, ""} else [value]
    if len(texts) == 1 and isinstance(texts[0], str) and texts[0].lstrip().startswith("["):
        try:
            texts = decode_json(texts[0], list[str])
        except NOT_JSON as error:
            raise invalid(**{field: f"{texts[0]!r} is not a JSON list of file ids: {error}"}) from None
    return list(texts)
