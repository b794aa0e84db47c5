"""The life of a server: listen, load, serve, and end on a signal with the requests under way answered."""

import asyncio
import importlib
import importlib.util
import json
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from modelyard_runner.models.backend import ModelBackend
from modelyard_runner.options import ServeOptions
from modelyard_runner.problems import LoadError
from modelyard_runner.statistics import Statistics
from modelyard_runner.upstream.backend import UpstreamBackend
from modelyard_runner.wire.http_server import Connection
from modelyard_runner.wire.payload import too_large
from modelyard_runner.wire.prediction_request import refused
from modelyard_runner.wire.routes import STOPPING, Backend, Routes

DRAIN_POLL_S = 0.02


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run to the end on uvloop where it is installed, else on asyncio's own loop."""
    if importlib.util.find_spec("uvloop") is not None:
        factory = importlib.import_module("uvloop").new_event_loop
    else:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def serve(options: ServeOptions) -> int:
    """Serve until a signal comes or the model ends; returns the process's exit code.

    A model that cannot be loaded ends in code 1 (or that of its `start_server.sh`), one line on standard error, and
    the reason in the failure file.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    statistics = Statistics()
    backend: Backend
    if options.is_upstream:
        backend = UpstreamBackend(options, statistics)
    else:
        backend = ModelBackend(options.model, options.code_dir, statistics)
    routes = Routes(options.url_prefix, options.model.target, backend, statistics)
    connections: set[Connection] = set()
    server = await _listen(options, routes, connections)
    try:
        return await _serve_until_stopped(options, backend, routes, server, connections, stopping)
    except LoadError as error:
        _report(error, options)
        return error.exit_code
    finally:
        routes.state = STOPPING
        await backend.stop(options.grace_s)
        if options.socket is not None:
            options.socket.unlink(missing_ok=True)


async def _serve_until_stopped(
    options: ServeOptions,
    backend: Backend,
    routes: Routes,
    server: asyncio.Server,
    connections: set[Connection],
    stopping: asyncio.Event,
) -> int:
    loop = asyncio.get_running_loop()
    stopped = loop.create_task(stopping.wait())
    loading = loop.create_task(backend.start())
    await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not loading.done():
        loading.cancel()
        return 0
    await loading
    if options.is_check:
        return 0
    routes.state = None
    sys.stderr.write("The model is ready.\n")
    ended = loop.create_task(backend.wait_ended())
    await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        sys.stderr.write(f"The model's server ended with code {ended.result()}.\n")
        return ended.result()
    ended.cancel()
    routes.state = STOPPING
    server.close()
    await _drain(connections, options.grace_s)
    return 0


async def _listen(options: ServeOptions, routes: Routes, connections: set[Connection]) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    most = options.model.max_body_bytes

    def connect() -> Connection:
        return Connection(routes, lambda: refused(too_large(most)), most, connections)

    if options.socket is None:
        return await loop.create_server(connect, options.host, options.port, backlog=1024)
    options.socket.unlink(missing_ok=True)
    return await loop.create_unix_server(connect, str(options.socket), backlog=1024)


async def _drain(connections: set[Connection], grace_s: float) -> None:
    """Answer what is under way, for at most `grace_s`, and close every connection."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + grace_s
    for connection in list(connections):
        connection.close_when_idle()
    while connections and loop.time() < deadline_s:
        await asyncio.sleep(DRAIN_POLL_S)


def _report(error: LoadError, options: ServeOptions) -> None:
    sys.stderr.write(f"The model cannot be served: {error.message}\n")
    if options.failure_file is not None:
        temporary = options.failure_file.with_name(options.failure_file.name + ".part")
        with suppress(OSError):
            temporary.write_text(json.dumps({"message": error.message}), encoding="utf-8")
            temporary.replace(options.failure_file)
