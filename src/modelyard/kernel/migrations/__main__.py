"""``python -m modelyard.kernel.migrations [MESSAGE]``: writes a revision from the tables.

Until the first release there is one revision, which is written anew; with a message, a revision is added that holds
the difference to those before.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

from alembic import command

from modelyard.kernel.database import Database
from modelyard.kernel.migrations import FOLDER, configuration, upgrade

FIRST = "0001"
TABLES = "modelyard.app"  # by name, because the kernel knows no feature


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m modelyard.kernel.migrations", description=__doc__)
    parser.add_argument("message", nargs="?", help="what a new revision does; without it the first is written anew")
    parser.add_argument("--tables", default=TABLES, help="the module that imports all tables")
    options = parser.parse_args(arguments)
    importlib.import_module(options.tables)
    known = sorted((FOLDER / "versions").glob("[0-9]*.py"))
    if options.message is None:
        if len(known) > 1:
            sys.exit(f"{known[1].name} builds on the first revision; write a new one with a message instead.")
        for file in known:
            file.unlink()
        written = _write("The first tables", FIRST)
    else:
        written = _write(options.message, f"{len(known) + 1:04}")
    for ruff in (["format"], ["check", "--fix"], ["format"]):
        subprocess.run([sys.executable, "-m", "ruff", *ruff, "--quiet", written], check=True)
    print(written)


def _write(message: str, revision: str) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/empty.db")
        upgrade(database)
        config = configuration()
        with database.alone() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=revision)
        database.dispose()
    (file,) = (FOLDER / "versions").glob(f"{revision}_*.py")
    return file


if __name__ == "__main__":
    main()
