"""``python -m modelyard.kernel.migrations.write modelyard.app [--initial | MESSAGE]``: writes a revision.

The module that is named imports all tables. With ``--initial`` the first revision is written anew from them, which
is right until the first release; a message adds a revision with the difference to the newest one.
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


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="modelyard.kernel.migrations.write", description=__doc__)
    parser.add_argument("tables", help="the module that imports all tables")
    wanted = parser.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--initial", action="store_true", help="write the first revision anew")
    wanted.add_argument("message", nargs="?", help="what the new revision does")
    options = parser.parse_args(arguments)
    importlib.import_module(options.tables)
    known = sorted((FOLDER / "versions").glob("[0-9]*.py"))
    if options.initial:
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
