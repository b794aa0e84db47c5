"""The process that does the asynchronous work."""

import logging
import os
import signal
import threading

from modelyard.cli.errors import CommandError
from modelyard.compute.isolation import Isolation
from modelyard.compute.nodes import this_node
from modelyard.kernel.migrations import upgrade
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.nodes import claim_node, keep_beating
from modelyard.processes.options import DataDir, NoSandbox, open_application, read_settings, require_sandbox
from modelyard.processes.running import noted
from modelyard.processes.setup import set_up, tell_administrator

log = logging.getLogger(__name__)

STOP_S = 20.0


def controller(data_dir: DataDir = None, no_sandbox: NoSandbox = False) -> None:
    """Run a controller alone, in the foreground. Several share the work."""
    settings = read_settings(data_dir, no_sandbox=no_sandbox)
    configure(settings.log_level, "controller")
    if settings.workload_api_url is None and not settings.model_fields_set & {"host", "port"}:
        raise CommandError(
            "it is not known how workloads reach the API",
            hint="set MODELYARD_API_URL, such as http://127.0.0.1:8000, or MODELYARD_PORT as it is set for the api",
        )
    if made := set_up(settings, executes=True):
        tell_administrator(settings, made)
    run_controller(settings)


def run_controller(settings: Settings) -> None:
    """Works until SIGTERM or SIGINT. What is not finished then is given back, for the next controller to go on with."""
    application = open_application(settings)
    isolation = application.parts.get(Isolation)
    require_sandbox(isolation)
    if isolation.warning is not None:
        log.warning(isolation.warning)
    upgrade(application.database)
    node = this_node(settings.data_dir)
    claim_node(application.database, node)
    engine = application.engine()
    ended, displaced = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    worker = threading.Thread(target=engine.run, name="engine")
    heart = threading.Thread(target=keep_beating, args=(application.database, node, ended, displaced), daemon=True)
    with noted(settings, "controller"):
        worker.start()
        heart.start()
        while not ended.wait(0.5):
            if not worker.is_alive():
                raise SystemExit(1)
        engine.stop()
        worker.join(timeout=STOP_S)
    os._exit(displaced.is_set())  # steps that still run belong to the next controller; they must not keep this process
