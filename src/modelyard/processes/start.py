"""``modelyard up``: sets an installation up and keeps its processes running."""

import contextlib
import json
import os
import sys
from typing import Any

import typer

from modelyard.compute.isolation import isolation_for
from modelyard.kernel.migrations import DatabaseIsNewerError
from modelyard.kernel.settings import Settings
from modelyard.processes.api import run_api
from modelyard.processes.controller import run_controller
from modelyard.processes.gateway import run_gateway
from modelyard.processes.logs import configure
from modelyard.processes.options import (
    AsJson,
    DataDir,
    GatewayPort,
    Host,
    NoSandbox,
    Port,
    read_settings,
    require_sandbox,
)
from modelyard.processes.setup import NewAdministrator, set_up, tell_administrator
from modelyard.processes.up import Keeper, UpError, check_ports, only_one

ROLES = {"api": run_api, "gateway": run_gateway, "controller": run_controller}


def up(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    gateway_port: GatewayPort = None,
    no_sandbox: NoSandbox = False,
    as_json: AsJson = False,
) -> None:
    """Run api, gateway and controller on this machine, and start again what ends. Ctrl-C stops them.

    Deployed models go on running under their supervisors; the next start takes them over.
    """
    settings = read_settings(data_dir, host, port, gateway_port, no_sandbox=no_sandbox)
    configure(settings.log_level, "up")
    try:
        with only_one(settings.data_dir):
            check_ports(settings)
            isolation = isolation_for(settings.sandbox)
            require_sandbox(isolation)
            made = set_up(settings, isolation, executes=True)
            if made is not None and not as_json:
                tell_administrator(settings, made)
            keeper = Keeper(settings, ROLES, lambda text: typer.echo(text, err=True))
            keeper.run(lambda: _tell_ready(settings, made, isolation.warning, as_json=as_json))
            with contextlib.suppress(OSError):  # it is not empty while a deployed model goes on
                settings.sockets_dir().rmdir()
    except (UpError, DatabaseIsNewerError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _tell_ready(settings: Settings, made: NewAdministrator | None, warning: str | None, *, as_json: bool) -> None:
    if as_json:
        ready: dict[str, Any] = {"api": settings.api_url(), "gateway": settings.gateway_url(), "pid": os.getpid()}
        if made is not None:
            ready |= {"token": made.token, "config": str(made.config_file) if made.config_file else None}
        if warning is not None:
            ready["warning"] = warning
        typer.echo(json.dumps(ready))
    else:
        predictions = settings.gateway_url()
        if settings.listens_everywhere() and not settings.public_url:
            predictions = f"port {settings.gateway_port} of the host that a client reaches the API by"
        typer.echo(f"Modelyard is ready: API {settings.api_url()}/api/v2/  predictions {predictions}")
        if warning is not None:
            typer.echo(f"Warning: {warning}", err=True)
    sys.stdout.flush()
