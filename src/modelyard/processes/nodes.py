"""Which machine executes workloads: controllers claim it and go on saying so, ``modelyard admin adopt`` moves it."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import typer

from modelyard.cli.errors import CommandError
from modelyard.compute.nodes import HEARTBEAT_S, Node, NodeTakenError, beat, claim, this_node
from modelyard.compute.nodes import adopt as adopt_in
from modelyard.kernel.data_dir import open_data_dir
from modelyard.kernel.database import Database
from modelyard.kernel.migrations import is_current
from modelyard.kernel.outages import OutageLog
from modelyard.kernel.private_folders import UnsafeFolderError
from modelyard.processes.options import read_settings

log = logging.getLogger(__name__)


def claim_node(database: Database, node: Node) -> None:
    """Note that this machine executes what the database asks for. Raises ``CommandError`` where another one does."""
    try:
        with database.write() as session:
            claim(session, node, datetime.now(UTC))
    except NodeTakenError as error:
        raise CommandError(str(error), hint=error.remedy) from None


def keep_beating(database: Database, node: Node, ended: Event, displaced: Event) -> None:
    """Say that this machine is at work until ``ended``, which is set as well when another machine has adopted it."""
    beating = OutageLog(log, "the database cannot be told that this machine is at work")
    while not ended.wait(HEARTBEAT_S):
        try:
            with database.write() as session:
                is_ours = beat(session, node, datetime.now(UTC))
            beating.succeeded()
        except Exception as error:  # noqa: BLE001 # logged
            beating.failed(error)
            continue
        if not is_ours:
            log.error("another machine has adopted what this one executed (modelyard admin adopt there): it ends")
            displaced.set()
            ended.set()


def adopt(data_dir: Path | None, *, as_json: bool) -> None:
    """Make this machine the one that executes workloads."""
    settings = read_settings(data_dir)
    try:
        open_data_dir(settings)
    except UnsafeFolderError as error:
        raise CommandError(str(error)) from None
    node, database = this_node(settings.data_dir), Database(settings.database())
    try:
        if not is_current(database):
            raise CommandError(
                "the database has not the tables of this release", hint="start the server once with this release"
            )
        with database.write() as session:
            before = adopt_in(session, node, datetime.now(UTC))
    except NodeTakenError as error:
        raise CommandError(str(error), hint=error.remedy) from None
    finally:
        database.dispose()
    if as_json:
        known = None if before is None else {"host": before.host_name, "dataDir": before.data_dir}
        typer.echo(json.dumps({"node": node.id, "host": node.host_name, "before": known}))
    elif before is None or before.node_id == node.id:
        typer.echo(f"This machine ({node.host_name}) executes the workloads already.")
    else:
        typer.echo(
            f"This machine ({node.host_name}, {node.data_dir}) executes the workloads from now on, and no more "
            f"{before.host_name} ({before.data_dir}). Runs that were under way there are interrupted, or begin their "
            "next attempt; deployments start anew when the controller does."
        )
