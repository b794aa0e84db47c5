"""Uploaded files as files of a workspace."""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.kernel.errors import invalid
from modelyard.kernel.form_input import FormInput
from modelyard.kernel.uploads import pair_files
from modelyard.storage.blobs import Blob
from modelyard.workspaces.service import NewFile


def uploaded_files(form: FormInput[Blob]) -> list[NewFile]:
    """The ``file`` parts, each at its ``filePath``; raises ``Invalid`` for paths that are refused."""
    return [NewFile(path, blob.digest, blob.size_bytes) for path, blob in pair_files(form.form)]


def ids_to_delete(value: object, field: str = "filesToDelete") -> list[str]:
    """File ids as clients send them: one text, a list, or one text that holds a JSON list. Nothing is no id."""
    texts: Sequence[Any] = value if isinstance(value, list) else [] if value in {None, ""} else [value]
    if len(texts) == 1 and isinstance(texts[0], str) and texts[0].lstrip().startswith("["):
        try:
            texts = msgspec.json.decode(texts[0], type=list[str])
        except msgspec.DecodeError as error:
            raise invalid(**{field: f"{texts[0]!r} is not a JSON list of file ids: {error}"}) from None
    return list(texts)
