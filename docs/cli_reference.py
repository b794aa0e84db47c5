"""Writes ``cli-reference.md`` from the commands' own help: ``python docs/cli_reference.py``."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.cli.commands import COMMANDS
from modelyard.cli.main import load, run

PAGE = Path(__file__).with_name("cli-reference.md")
WIDTH = 100
HEAD = """# Commands and options

Written from the commands' own help, which `modelyard COMMAND --help` shows too. [Command line](cli.md) says how to get
things done.
"""


def command_paths() -> Iterator[tuple[str, ...]]:
    """Every command that does something, groups left out."""
    for name, entry in COMMANDS.items():
        yield from _leaves((name,), load(name, entry))


def _leaves(path: tuple[str, ...], command: Any) -> Iterator[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    if not inner:
        yield path
        return
    for name, each in inner.items():
        yield from _leaves((*path, name), each)


def reference() -> str:
    """The page."""
    os.environ["COLUMNS"] = str(WIDTH)
    sections = [HEAD]
    for path in command_paths():
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            run([*path, "--help"])
        sections.append(f"## {' '.join(path)}\n\n```text\n{shown.getvalue().strip()}\n```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    PAGE.write_text(reference())
