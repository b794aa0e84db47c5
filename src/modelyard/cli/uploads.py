"""Files on their way to the server: read when they are sent, counted as they go."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


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
