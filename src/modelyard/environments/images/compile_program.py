# os.path is several times as fast as pathlib, and this walks thousands of files:
# ruff: noqa: PTH103, PTH105, PTH110, PTH118, PTH119, PTH120, PTH123
"""Compiles the bytecode of a virtual environment. A program of its own, with the standard library only.

``python -I -S compile_program.py SITE_PACKAGES CACHE_DIR link|copy WORKERS``

It runs on the base interpreter without ``site``, so that nothing of the installed packages (``.pth`` files) runs. The
cache is keyed by the SHA-256 of a source: what it holds follows from the key alone, so nobody can put anything else
there by installing packages. The files are hash-based and unchecked (PEP 552): an image never changes.
"""

import hashlib
import importlib.util
import marshal
import os
import shutil
import sys
import warnings

FLAG_HASH_UNCHECKED = 0b01
NOT_COMPILED = {"__pycache__", "tests"}


def main(site_packages: str, cache_dir: str, mode: str, workers: int) -> int:
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10_000)
    cache = os.path.join(cache_dir, f"{sys.implementation.cache_tag}-{importlib.util.MAGIC_NUMBER.hex()}")
    os.makedirs(cache, exist_ok=True)
    sources = list(find_sources(site_packages))
    children = []
    for number in range(workers):
        child = os.fork()
        if child == 0:
            place_all(sources[number::workers], cache, mode)
            os._exit(0)
        children.append(child)
    failed = sum(os.waitpid(child, 0)[1] != 0 for child in children)
    if failed:
        sys.stdout.write("The compiler crashed on a file; what it did not reach is compiled when it is imported.\n")
    return 0


def find_sources(folder: str) -> list[str]:
    """Every module but the packages' own test suites, which nothing imports."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_COMPILED]
        found += [os.path.join(parent, name) for name in files if name.endswith(".py")]
    return found


def place_all(sources: list[str], cache: str, mode: str) -> None:
    for source in sources:
        try:
            place(source, cache, mode)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            continue  # files for other Python versions are part of many packages


def place(source: str, cache: str, mode: str) -> None:
    """Put the bytecode of one source beside it, from the cache where it is there."""
    with open(source, "rb") as file:
        content = file.read()
    key = hashlib.sha256(content).hexdigest()
    cached = os.path.join(cache, key[:2], key)
    if not os.path.exists(cached):
        write(cached, bytecode(content, source))
    target = importlib.util.cache_from_source(source)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if mode == "link":
        try:
            os.link(cached, target)
        except OSError:
            pass  # another file system, or more links than it can count
        else:
            return
    shutil.copyfile(cached, target)


def bytecode(content: bytes, source: str) -> bytes:
    # The import system puts the real path into the code, so the name given here never shows.
    code = compile(content, os.path.basename(source), "exec", dont_inherit=True)
    header = (
        importlib.util.MAGIC_NUMBER + FLAG_HASH_UNCHECKED.to_bytes(4, "little") + importlib.util.source_hash(content)
    )
    return header + marshal.dumps(code)


def write(path: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    staging = f"{path}.{os.getpid()}"
    with open(staging, "wb") as file:
        file.write(data)
    os.replace(staging, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
