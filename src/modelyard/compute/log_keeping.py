"""A workload's output on its way into a blob."""

from datetime import UTC, datetime
from typing import Any

from modelyard.compute.log_reading import live_blocks
from modelyard.compute.logs import LogFile
from modelyard.kernel.clock import to_wire
from modelyard.storage.blobs import BlobStore


class KeptLog:
    """A log on its way into a blob: what the workload wrote, and lines of ours behind it."""

    def __init__(self, blobs: BlobStore, log: LogFile | None) -> None:
        self._writer = blobs.writer()
        self._first_offset = log.first_offset if log is not None else 0
        if log is not None:
            for block in live_blocks(log, self._first_offset):
                self._writer.write(block)

    def say(self, text: str) -> None:
        self.write(f"[modelyard] {text}")

    def write(self, text: str) -> None:
        """Each line of the text, with the time."""
        for line in text.splitlines():
            self._writer.write(f"{to_wire(datetime.now(UTC))} {line}\n".encode())

    def finish(self) -> dict[str, Any]:
        """The columns of a ``RunLog``."""
        blob = self._writer.finish()
        return {"digest": blob.digest, "size_bytes": blob.size_bytes, "first_offset": self._first_offset}


def keep_log(blobs: BlobStore, log: LogFile | None, closing: str | None) -> KeptLog:
    """The output so far, with ``closing`` as its last line."""
    kept = KeptLog(blobs, log)
    if closing is not None:
        kept.say(closing)
    return kept
