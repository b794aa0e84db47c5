"""The process that serves the REST API."""

import asyncio
import gc
import os
import sys

from modelyard.app import Application
from modelyard.kernel.migrations import upgrade
from modelyard.kernel.settings import Settings
from modelyard.kernel.streams import Streams
from modelyard.processes.logs import configure
from modelyard.processes.options import DataDir, GatewayPort, Host, Port, open_application, read_settings
from modelyard.processes.running import noted
from modelyard.processes.serving import ServingLimits, connection_limit, raise_file_limit, serve
from modelyard.processes.setup import set_up, tell_administrator

COLLECT_AFTER = (20_000, 20, 100)
"""A page of a list makes thousands of objects without cycles; looking through them after every 700 is for nothing."""


def api(data_dir: DataDir = None, host: Host = None, port: Port = None, gateway_port: GatewayPort = None) -> None:
    """Run the REST API alone, in the foreground."""
    settings = read_settings(data_dir, host, port, gateway_port)
    configure(settings.log_level, "api")
    if made := set_up(settings):
        tell_administrator(settings, made)
    run_api(settings)


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, and end the process."""
    application = open_application(settings)
    upgrade(application.database)
    with noted(settings, "api"):
        gc.collect()
        gc.freeze()  # what is imported by now stays
        gc.set_threshold(*COLLECT_AFTER)
        asyncio.new_event_loop().run_until_complete(_serve(application))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # connections that were given up, and threads that still work for them, must not keep this process


async def _serve(application: Application) -> None:
    settings = application.settings
    limits = ServingLimits(
        max_connections=connection_limit(settings.max_connections, raise_file_limit()),
        client_timeout_s=settings.client_timeout_s,
        drain_timeout_s=settings.drain_timeout_s,
    )
    streams = Streams()
    await serve(application.api(streams), settings.host, settings.port, limits, on_stop=streams.end)
