"""The process that takes predictions."""

from modelyard.gateway.server import run
from modelyard.kernel.database import Database
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.options import DataDir, GatewayPort, Host, check_folders, read_settings
from modelyard.processes.running import noted


def gateway(data_dir: DataDir = None, host: Host = None, gateway_port: GatewayPort = None) -> None:
    """Run the prediction gateway alone, in the foreground."""
    settings = read_settings(data_dir, host, None, gateway_port)
    check_folders(settings)
    configure(settings.log_level, "gateway")
    run_gateway(settings)


def run_gateway(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT."""
    with noted(settings, "gateway"):
        run(settings, Database(settings.database()))
