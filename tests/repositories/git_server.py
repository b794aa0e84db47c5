"""A real Git server over http: ``git http-backend`` behind a small CGI server, and repositories to put on it."""

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOGIN = ("anna", "correct-horse-battery-staple")
HEADERS = {"Content-Type": "CONTENT_TYPE", "Content-Encoding": "HTTP_CONTENT_ENCODING", "Git-Protocol": "GIT_PROTOCOL"}


@dataclass
class Repository:
    """A repository in a folder, made by plumbing: any tree can be committed, however hostile."""

    folder: Path

    def git(self, *words: str, given: bytes = b"") -> str:
        who = {f"GIT_{role}_{what}": f"{role}@x" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = os.environ | who | {"GIT_DIR": str(self.folder), "GIT_CONFIG_GLOBAL": "/dev/null"}
        told = subprocess.run(["git", *words], input=given, env=environment, check=True, capture_output=True)
        return told.stdout.decode().strip()

    def commit(
        self,
        files: Mapping[str, bytes],
        *,
        links: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
        branch: str = "main",
    ) -> str:
        """A commit on ``branch`` whose tree is just this; its name."""
        lines = [f"100644 {self.blob(content)}\t{path}" for path, content in files.items()]
        lines += [f"120000 {self.blob(target.encode())}\t{path}" for path, target in (links or {}).items()]
        lines += [f"160000 {sha}\t{path}" for path, sha in (submodules or {}).items()]
        index = self.folder / "index"
        index.unlink(missing_ok=True)
        self.git("update-index", "--index-info", given="".join(f"{line}\n" for line in lines).encode())
        return self.commit_tree(self.git("write-tree"), branch)

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", given=content)

    def tree(self, *entries: tuple[str, str, str]) -> str:
        """A tree of ``(mode, name, object)``, without any check of the names."""
        content = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(sha) for mode, name, sha in entries)
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=content)

    def commit_tree(self, tree: str, branch: str = "main") -> str:
        before = self.git("for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        sha = self.git("commit-tree", tree, *(("-p", before) if before else ()), "-m", "Change")
        self.git("update-ref", f"refs/heads/{branch}", sha)
        return sha


@dataclass
class GitServer:
    """Repositories below ``root`` at ``url``. ``requests`` are the paths that were asked for."""

    root: Path
    url: str
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    """Beginnings of paths, and the URLs that stand in their place."""
    stuck: set[str] = field(default_factory=set)
    """Beginnings of paths that are answered by nothing, until the server ends."""
    dripping: set[str] = field(default_factory=set)
    """Beginnings of paths that are answered by a header without end, a byte at a time."""
    over: threading.Event = field(default_factory=threading.Event)

    def a_repository(self, name: str = "churn.git", *, object_format: str = "sha1") -> Repository:
        """An empty repository. Those in ``private/`` ask for ``LOGIN``."""
        folder = self.root / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        words = ["git", "init", "--quiet", "--bare", "--initial-branch=main", f"--object-format={object_format}"]
        subprocess.run([*words, str(folder)], check=True)
        made = Repository(folder)
        made.git("config", "uploadpack.allowFilter", "true")
        return made


@contextmanager
def a_git_server(root: Path) -> Iterator[GitServer]:
    """Serves the repositories below ``root`` until the end of the block."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    served = GitServer(root, f"http://127.0.0.1:{server.server_port}")
    server.served = served  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield served
    served.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        served: GitServer = self.server.served  # type: ignore[attr-defined]
        served.requests.append(self.path)
        content = self._content()
        if "Authorization" in self.headers:
            served.authorizations.append(self.headers["Authorization"])
        if any(self.path.startswith(start) for start in served.stuck):
            served.over.wait(60)
        if any(self.path.startswith(start) for start in served.dripping):
            self._drip(served.over)
            return
        for start, url in served.redirects.items():
            if self.path.startswith(start):
                self._send(302, {"Location": url + self.path.removeprefix(start)}, b"")
                return
        if self.path.startswith("/private/") and not self._is_welcome():
            self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
            return
        if self.path.startswith("/page"):
            self._send(200, {"Content-Type": "text/html"}, b"<html>")
            return
        self._serve(served.root, content)

    def _drip(self, over: threading.Event) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with suppress(OSError):  # the client has had enough
            while not over.wait(0.05):
                self.wfile.write(b"x")
        self.close_connection = True

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _is_welcome(self) -> bool:
        expected = base64.b64encode(":".join(LOGIN).encode()).decode()
        return self.headers.get("Authorization") in {f"Basic {expected}", f"Bearer {LOGIN[1]}"}

    def _serve(self, root: Path, content: bytes) -> None:
        path, _, query = self.path.partition("?")
        environment = os.environ | {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_LENGTH": str(len(content)),
        }
        environment |= {name: self.headers[header] for header, name in HEADERS.items() if header in self.headers}
        told = subprocess.run(["git", "http-backend"], input=content, env=environment, check=False, capture_output=True)
        head, _, body = told.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self._send(int(headers.pop("Status", "200")[:3]), headers, body)

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 # the base class's name
        """Say nothing."""
