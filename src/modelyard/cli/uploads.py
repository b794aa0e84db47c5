"""Files on their way to the server: read when they are sent, counted as they go."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import upload_bar, wait_for
from modelyard.cli.lookup import DATASET

NEW_DATASET = f"{DATASET.path}fromFile/"


class SentFile(io.RawIOBase):
    """A file that is opened when its first byte is wanted, so that a thousand of them hold no descriptor."""

    def __init__(self, source: Path, on_sent: Callable[[int], None]) -> None:
        super().__init__()
        self.source = source
        self.on_sent = on_sent
        self.size_bytes = source.stat().st_size
        self.file: BinaryIO | None = None
        self.place = 0

    def read(self, size: int = -1) -> bytes:
        if self.file is None:
            self.file = self.source.open("rb")
            self.file.seek(self.place)
        data = self.file.read(size)
        self.place += len(data)
        self.on_sent(len(data))
        if not data:
            self.close()
        return data

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size_bytes}[whence]
        self.place = start + offset
        if self.file is not None:
            self.file.seek(self.place)
        return self.place

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None


def send_table(api: Api, file: Path, path: str = NEW_DATASET) -> tuple[Json, str]:
    """Sends a table as a new dataset, or to another ``path``: the answer, and where to ask how its reading goes."""
    if not file.is_file():
        raise CommandError(f"there is no file {file}", code=ExitCode.USAGE)
    with upload_bar(f"Sending {file.name}", file.stat().st_size) as advance, SentFile(file, advance) as stream:
        fields = [("file", (file.name, stream, "application/octet-stream"))]
        return api.start("POST", path, files=fields, timeout=UPLOAD_TIMEOUT)


@contextmanager
def new_dataset(api: Api, file: Path) -> Iterator[str]:
    """The id of a dataset that is made of a file; it is deleted again where the block ends with a ``CommandError``."""
    accepted, location = send_table(api, file)
    try:
        wait_for(api, location, f"Reading {file.name}")
        yield str(accepted["catalogId"])
    except CommandError:
        with suppress(CommandError):
            delete_dataset(api, accepted["catalogId"])
        raise


def delete_dataset(api: Api, dataset_id: str) -> None:
    api.delete(f"{DATASET.path}{dataset_id}/")
