"""The process that serves the REST API."""

import asyncio
import gc
import signal

from granian.constants import Interfaces
from granian.server.embed import Server

from modelyard.app import Application
from modelyard.kernel.migrations import upgrade
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.options import DataDir, GatewayPort, Host, Port, open_application, read_settings
from modelyard.processes.running import noted
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
    """Serves until SIGTERM or SIGINT."""
    application = open_application(settings)
    upgrade(application.database)
    with noted(settings, "api"):
        gc.collect()
        gc.freeze()  # what is imported by now stays
        gc.set_threshold(*COLLECT_AFTER)
        asyncio.run(_serve(application))


async def _serve(application: Application) -> None:
    settings = application.settings
    server = Server(
        application.api(), address=settings.host, port=settings.port, interface=Interfaces.ASGI, log_enabled=False
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()
