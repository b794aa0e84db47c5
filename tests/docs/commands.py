"""The commands that a page tells its reader to run."""

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+?) -->\n)?^```(?P<language>console|bash)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block; ``reason`` says why it is not run."""

    script: str
    reason: str | None


def blocks_of(page: Path) -> list[Block]:
    """The ``console`` and ``bash`` blocks of a page. Of ``console`` the lines after a ``$`` are commands."""
    return [
        Block(_script(match["language"], match["body"]), match["reason"]) for match in _FENCE.finditer(page.read_text())
    ]


def _script(language: str, body: str) -> str:
    if language == "bash":
        return body
    return "".join(line.removeprefix("$ ") + "\n" for line in body.splitlines() if line.startswith("$ "))
