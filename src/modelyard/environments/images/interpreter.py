"""The Python that images are made for: the one this program runs on, without its virtual environment."""

import platform
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment


@dataclass(frozen=True)
class Interpreter:
    """A base interpreter. An image links to its executable, and needs its prefix to be visible."""

    executable: Path
    prefix: Path
    version: str
    """Full, such as ``3.11.7``."""
    platform: str
    markers: Mapping[str, str]
    """The values of PEP 508's environment markers."""

    @property
    def minor_version(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def site_packages(self, venv: Path) -> Path:
        return venv / "lib" / f"python{self.minor_version}" / "site-packages"


def this_interpreter() -> Interpreter:
    """The base interpreter of this process."""
    executable = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    libc = "-".join(part for part in platform.libc_ver() if part)
    return Interpreter(
        executable=executable,
        prefix=Path(sys.base_prefix).resolve(),
        version=platform.python_version(),
        platform=f"{sysconfig.get_platform()}-{libc}" if libc else sysconfig.get_platform(),
        markers={name: str(value) for name, value in default_environment().items()},
    )
