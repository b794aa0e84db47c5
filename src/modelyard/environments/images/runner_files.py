"""The runner: the package ``modelyard_runner``, which every image gets a copy of."""

import hashlib
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modelyard.environments.images.tree import remove_tree

PACKAGE = "modelyard_runner"
_DEFAULT_REQUIREMENTS = "orjson\nuvloop\nhttptools\n"


@dataclass(frozen=True)
class RunnerFiles:
    """The runner's source folder, its digest and the requirements that it has itself."""

    folder: Path
    digest: str
    requirements: str

    def copy_to(self, site_packages: Path) -> None:
        """Install the runner, in the place of anything of its name."""
        target = site_packages / PACKAGE
        remove_tree(target)
        shutil.copytree(self.folder, target, ignore=shutil.ignore_patterns("__pycache__"))


def find_runner() -> RunnerFiles:
    """The runner that is installed beside this program."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError(f"the package {PACKAGE} is not installed beside modelyard; install modelyard again")
    folder = Path(next(iter(spec.submodule_search_locations))).resolve()
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    requirements = folder / "requirements.txt"
    text = requirements.read_text() if requirements.is_file() else _DEFAULT_REQUIREMENTS
    return RunnerFiles(folder, digest.hexdigest(), text)
