"""Asking replicas whether they answer: in threads, so that one that hangs holds up nobody else.

Who answers is user code: it may say anything, any amount of it, as slowly as it likes, or nothing.
"""

import json
import socket
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from modelyard.compute.shared_files import connectable, refuse_descriptors

PROBE_TIMEOUT_S = 2.0
AT_ONCE_S = 0.05
"""How long a caller waits for an answer that comes at once, as it does from a healthy replica."""
WORKERS = 32
ASK_AGAIN_S = 2.0
FEWEST_FAILURES = 3
SILENCE_FACTOR = 3
"""One that says nothing may just get no processor: it has so many times longer than one that says it is stuck."""
MAX_TOLD_LENGTH = 500
MAX_ANSWER_BYTES = 65536


@dataclass
class _Watch:
    """What is known of one replica: since when, and how many times in a row, it has not answered well."""

    is_ready: bool = False
    asked_at: float = 0.0
    bad_since: float | None = None
    failures: int = 0
    told: str | None = None
    pending: "Future[tuple[bool, str | None]] | None" = None


class Prober:
    """Remembers the replicas that it is asked about. Belongs to one thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="probe")
        self._watches: dict[str, _Watch] = {}

    def is_ready(self, replica_id: str, path: Path, target: str) -> bool:
        """Whether a replica that is being started answers 200 by now."""
        watch = self._watches.setdefault(replica_id, _Watch())
        if watch.pending is None:
            self._ask(watch, path, target)
        self._take(watch, wait_s=AT_ONCE_S)
        return watch.is_ready

    def why_stuck(self, replica_id: str, path: Path, target: str, limit_s: float) -> str | None:
        """Why a replica that was ready is to be given up: it has not been well for longer than ``limit_s``."""
        watch = self._watches.setdefault(replica_id, _Watch())
        self._take(watch)
        if watch.pending is None and time.monotonic() - watch.asked_at > min(ASK_AGAIN_S, limit_s):
            self._ask(watch, path, target)
        if watch.bad_since is None or watch.failures < FEWEST_FAILURES:
            return None
        bad_s = time.monotonic() - watch.bad_since
        if bad_s < (limit_s if watch.told else limit_s * SILENCE_FACTOR):
            return None
        return f"it was stuck for {bad_s:.0f} s: {watch.told or 'it gave no answer'}"

    def keep(self, replica_ids: Collection[str]) -> None:
        """Forgets all other replicas."""
        for replica_id in self._watches.keys() - set(replica_ids):
            del self._watches[replica_id]

    def _ask(self, watch: _Watch, path: Path, target: str) -> None:
        watch.asked_at = time.monotonic()
        watch.pending = self._threads.submit(_ask, path, target)

    def _take(self, watch: _Watch, wait_s: float = 0) -> None:
        """Notes the answer, if it has come."""
        if watch.pending is None:
            return
        try:
            watch.is_ready, watch.told = watch.pending.result(wait_s)
        except TimeoutError:
            return
        watch.pending = None
        if watch.is_ready:
            watch.bad_since, watch.failures = None, 0
        else:
            watch.bad_since = watch.bad_since or watch.asked_at
            watch.failures += 1


def answers(path: Path, target: str) -> bool:
    """Whether the server behind a socket answers 200, asked here and now."""
    return _ask(path, target)[0]


def _ask(path: Path, target: str) -> tuple[bool, str | None]:
    """Whether the answer is 200, and what was said if it is not; None for no answer."""
    try:
        head, _, body = _exchange(path, target).partition(b"\r\n\r\n")
    except OSError:
        return False, None
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return False, None
    status = words[1].decode()[:3]
    return status == "200", message_in(body, MAX_TOLD_LENGTH) or f"it answers {status}"


def _exchange(path: Path, target: str) -> bytes:
    """What is answered to a GET, as far as it comes before the time and the space for it end."""
    deadline = time.monotonic() + PROBE_TIMEOUT_S
    answer = b""
    with connectable(path) as address, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        refuse_descriptors(connection)
        connection.connect(address)
        connection.sendall(b"GET %b HTTP/1.1\r\nHost: modelyard\r\nConnection: close\r\n\r\n" % target.encode())
        while len(answer) < MAX_ANSWER_BYTES and (left_s := deadline - time.monotonic()) > 0:
            connection.settimeout(left_s)
            try:
                piece = connection.recv(MAX_ANSWER_BYTES)
            except TimeoutError:
                break
            if not piece:
                break
            answer += piece
    return answer


def message_in(document: bytes, max_length: int) -> str | None:
    """The ``message`` of a JSON object that user code wrote, such as every database takes it."""
    try:
        told = json.loads(document)
    except (ValueError, RecursionError):
        return None
    message = told.get("message") if isinstance(told, dict) else None
    if not isinstance(message, str):
        return None
    return message[:max_length].encode("utf-8", "replace").decode().replace("\0", "")
