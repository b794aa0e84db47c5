"""A package index on this machine, with small packages made by the tests."""

import base64
import hashlib
import io
import ssl
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class PackageIndex:
    """A simple repository (PEP 503) in a folder."""

    def __init__(self, folder: Path, url: str, requests: list[str]) -> None:
        self._folder = folder
        self.host = url
        self.url = f"{url}/simple"
        self.requests = requests
        """The paths that were asked for."""

    def add(self, name: str, file_name: str, content: bytes) -> str:
        """Publish a file; its SHA-256."""
        page = self._folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        files = self._folder / "files"
        files.mkdir(exist_ok=True)
        (files / file_name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        with page.open("a") as file:
            file.write(f'<a href="/files/{file_name}#sha256={digest}">{file_name}</a><br>\n')
        return digest

    def add_wheel(
        self, name: str, version: str = "1.0", *, files: Mapping[str, str] | None = None, requires: tuple[str, ...] = ()
    ) -> str:
        content = a_wheel(name, version, files or {f"{name}.py": f"version = {version!r}\n"}, requires)
        return self.add(name, f"{name}-{version}-py3-none-any.whl", content)

    def add_source(self, name: str, version: str = "1.0", *, backend: str) -> str:
        """Publish a source distribution; ``backend`` is the body of its ``build_wheel(wheel_directory)``."""
        files = {
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
            "backend.py": _BACKEND.format(name=name, version=version, body=_indented(backend)),
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for path, text in files.items():
                info = tarfile.TarInfo(f"{name}-{version}/{path}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        return self.add(name, f"{name}-{version}.tar.gz", buffer.getvalue())


_BACKEND = """
import os, pathlib, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    files = {{}}
{body}
    info = "{name}-{version}.dist-info"
    files.setdefault("{name}.py", "built = True\\n")
    files[info + "/METADATA"] = "Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
    files[info + "/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    files[info + "/RECORD"] = "".join(path + ",,\\n" for path in [*files, info + "/RECORD"])
    with zipfile.ZipFile(pathlib.Path(wheel_directory, "{name}-{version}-py3-none-any.whl"), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return "{name}-{version}-py3-none-any.whl"
"""


def a_wheel(name: str, version: str, files: Mapping[str, str], requires: tuple[str, ...] = ()) -> bytes:
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    everything = {
        **files,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {each}\n" for each in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in everything.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for path, text in everything.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return buffer.getvalue()


@contextmanager
def serving(folder: Path, certificate: Path | None = None) -> Iterator[PackageIndex]:
    """An index on a port of the loopback interface, with TLS where it has a certificate (with its key in the file)."""
    requests: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_NotingHandler, requests, directory=str(folder)))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if certificate is None else "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield PackageIndex(folder, f"{scheme}://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _NotingHandler(SimpleHTTPRequestHandler):
    """Notes the paths that it is asked for, and prints nothing."""

    def __init__(self, requests: list[str], *args: Any, **options: Any) -> None:
        self._requests = requests
        super().__init__(*args, **options)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the name in the base class
        self._requests.append(self.path)


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def _indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())
