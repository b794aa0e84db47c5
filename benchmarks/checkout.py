"""Another commit of this repository, checked out beside it with a virtual environment of its own, for a while."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


class CheckoutError(Exception):
    """A checkout cannot be made; the text says why."""


@dataclass(frozen=True)
class Checkout:
    """A folder with the repository's files, and what they are called."""

    folder: Path
    title: str

    @property
    def program(self) -> Path:
        return self.folder / ".venv" / "bin" / "modelyard"


def current_checkout() -> Checkout:
    """This one, as it is now."""
    changed = bool(_git("status", "--porcelain", "--untracked-files=no"))
    return Checkout(ROOT, _title("HEAD") + (" (with uncommitted changes)" if changed else ""))


def resolve(ref: str) -> str:
    """The full name of the commit that a branch, tag or other reference stands for."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    except CheckoutError:
        raise CheckoutError(
            f"there is no commit {ref!r} here: name a branch, a tag or a commit, as in REF=main"
        ) from None


@contextlib.contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Checkout]:
    """The commit in a git worktree at ``folder``, which must not exist yet; removed at the end, however that comes."""
    try:
        _git("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield Checkout(folder, _title(commit))
    finally:
        with contextlib.suppress(CheckoutError):  # there is none where adding it failed
            _git("worktree", "remove", "--force", str(folder))


def install(checkout: Checkout) -> None:
    """Make the checkout's own ``.venv`` from its own lock file, without what only its developers need."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    command = [uv, "sync", "--frozen", "--quiet", "--no-dev", "--compile-bytecode", "--python", sys.executable]
    _run(command, checkout.folder, "the dependencies could not be installed")


def environment(**more: str) -> dict[str, str]:
    """This process' variables without those that lead a program to this checkout, or change its server's settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELYARD_", "UV_PROJECT", "GIT_"))
        and name not in {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    }
    if "MODELYARD_SANDBOX" in os.environ:
        kept["MODELYARD_SANDBOX"] = os.environ["MODELYARD_SANDBOX"]
    return kept | more


def _title(commit: str) -> str:
    return _git("log", "-1", "--format=%h %<(80,trunc)%s", commit).rstrip()


def _git(*arguments: str) -> str:
    return _run(["git", *arguments], ROOT, f"'git {' '.join(arguments)}' failed")


def _run(command: Sequence[str], folder: Path, failure: str) -> str:
    """What a command printed; raises ``CheckoutError`` with what it complained of."""
    try:
        done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    except OSError as error:
        raise CheckoutError(f"{failure}: {error}") from error
    if done.returncode != 0:
        raise CheckoutError(f"{failure}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()
