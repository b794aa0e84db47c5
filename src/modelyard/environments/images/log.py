"""The log of a build: lines appended as they come, for a reader that follows the file."""

import re
from pathlib import Path
from types import TracebackType

_PASSWORD = re.compile(r"(https?://)[^/@\s]+@")


class BuildLog:
    """Appends lines to a file at once. Passwords in URLs are masked."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> "BuildLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, line: str) -> None:
        """Append one line."""
        self._file.write(_PASSWORD.sub(r"\1***@", line).replace("\n", " ") + "\n")
