"""A load generator in a process of its own: ``python -m benchmarks.load < job.json``.

Each connection sends a request, waits for its whole answer and sends the next one. The bodies are taken in turn.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httptools
import uvloop


@dataclass(frozen=True)
class Job:
    """What to send, and for how long."""

    port: int
    path: str
    bodies: Sequence[str]
    connections: int
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """What came back. Times are in milliseconds."""

    requests: int
    refused: int
    per_second: float
    p50_ms: float
    p99_ms: float
    example: str


def run(job: Job) -> Load:
    """Sends the load of ``job`` from another process."""
    command = [sys.executable, "-m", "benchmarks.load"]
    done = subprocess.run(command, input=json.dumps(asdict(job)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    load = Load(**json.loads(done.stdout))
    assert load.requests, f"nothing was answered at {job.path}"
    assert not load.refused, f"{load.refused} of {load.requests} requests were refused: {load.example}"
    return load


class Connection(asyncio.Protocol):
    """One client. Raw protocol and httptools: a client that does more would measure itself."""

    def __init__(self, requests: Sequence[bytes], first: int, until: float, result: "Result") -> None:
        self._requests = requests
        self._next = first
        self._until = until
        self._result = result
        self._sent_at = 0.0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        self._next = (self._next + 1) % len(self._requests)
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[self._next])

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._result.times_s.append(now - self._sent_at)
        if self._parser.get_status_code() != 200:
            self._result.refused += 1
            self._result.example = b"".join(self._body).decode("utf-8", "replace")[:1000]
        elif not self._result.example:
            self._result.example = b"".join(self._body).decode()[:1000]
        if now >= self._until:
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


@dataclass
class Result:
    """What the connections note together."""

    times_s: list[float] = field(default_factory=list)
    refused: int = 0
    example: str = ""


async def send(job: Job) -> Load:
    """Sends the load from this process."""
    lines = [f"POST {job.path} HTTP/1.1", f"Host: 127.0.0.1:{job.port}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in job.headers.items()]
    head = "\r\n".join(lines)
    requests = [f"{head}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in job.bodies]
    result = Result()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    until = started + job.seconds
    made = [
        await loop.create_connection(lambda i=i: Connection(requests, i, until, result), "127.0.0.1", job.port)  # type: ignore[misc]
        for i in range(job.connections)
    ]
    await asyncio.gather(*(connection.closed for _, connection in made))
    took_s = time.perf_counter() - started
    times = sorted(result.times_s)
    return Load(
        requests=len(times),
        refused=result.refused,
        per_second=len(times) / took_s,
        p50_ms=times[len(times) // 2] * 1000,
        p99_ms=times[len(times) * 99 // 100] * 1000,
        example=result.example,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(send(Job(**json.load(sys.stdin)))))))
