"""Imports once what every fit would import again: the libraries that the tasks' code names at its top.

Only libraries that may be forked after their import; errors are left to the task, whose log they belong to.
"""

import ast
import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

FORKED_SAFELY = frozenset({"joblib", "numpy", "pandas", "scipy", "sklearn"})


def preload(folders: Iterable[Path]) -> None:
    """Import what the Python files at the top of these folders import from those libraries."""
    names = {name for folder in folders for path in folder.glob("*.py") for name in _imports(path)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in sorted(names):
            if name.partition(".")[0] in FORKED_SAFELY and name not in sys.modules:
                with suppress(Exception):
                    importlib.import_module(name)


def _imports(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            yield from (name.name for name in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            yield statement.module
