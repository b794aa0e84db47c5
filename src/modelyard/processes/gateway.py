"""The process that takes predictions."""

import logging
import time

from sqlalchemy.exc import SQLAlchemyError

from modelyard.gateway.server import run
from modelyard.kernel.database import Database
from modelyard.kernel.migrations import is_current
from modelyard.kernel.outages import OutageLog
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.options import DataDir, GatewayPort, Host, check_folders, read_settings
from modelyard.processes.running import noted

log = logging.getLogger(__name__)

LOOK_S = 0.5


def gateway(data_dir: DataDir = None, host: Host = None, gateway_port: GatewayPort = None) -> None:
    """Run the prediction gateway alone, in the foreground."""
    settings = read_settings(data_dir, host, None, gateway_port)
    check_folders(settings)
    configure(settings.log_level, "gateway")
    run_gateway(settings)


def run_gateway(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    database = Database(settings.database())
    with noted(settings, "gateway"):
        await_tables(database)
        run(settings, database)


def await_tables(database: Database) -> None:
    """Wait until another process has made the tables, and while the database is away."""
    waiting = OutageLog(log, "the gateway waits for the database")
    has_said = False
    while True:
        try:
            if is_current(database):
                waiting.succeeded()
                return
        except SQLAlchemyError as error:
            waiting.failed(error)
        else:
            if not has_said:
                log.warning("the gateway waits for the tables, which an api or a controller of this release makes")
            has_said = True
        time.sleep(LOOK_S)
