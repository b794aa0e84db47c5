"""The commands that look after an installation on this machine."""

import json
import os
from typing import Annotated, Any

import psutil
import typer
from sqlalchemy.exc import SQLAlchemyError

from modelyard import garbage
from modelyard.app import endpoints
from modelyard.cli.errors import CommandError
from modelyard.compute.executor import Executor
from modelyard.compute.isolation import Ability, isolation_for
from modelyard.credentials import service as credentials
from modelyard.kernel.database import Database
from modelyard.kernel.errors import Conflict
from modelyard.kernel.secret_box import SecretBox, SecretKeyError, open_secret_box
from modelyard.kernel.settings import Settings
from modelyard.processes.logs import configure
from modelyard.processes.options import AsJson, DataDir, open_application, read_settings
from modelyard.processes.running import processes_dir


def openapi() -> None:
    """Print the OpenAPI document of the REST API."""
    from modelyard.kernel.openapi import document  # noqa: PLC0415

    typer.echo(json.dumps(document(endpoints()), indent=1))


def gc(
    data_dir: DataDir = None,
    min_age_s: Annotated[
        float | None, typer.Option("--min-age", help="Leave alone what is younger, in seconds.", show_default="1 day")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Collect blobs, images, folders and workloads that nothing refers to any more."""
    settings = read_settings(data_dir)
    configure(settings.log_level, "gc")
    application = open_application(settings)
    found = garbage.collect(application.database, application.parts, application.settings, age_s=min_age_s)
    if as_json:
        typer.echo(json.dumps(vars(found)))
    else:
        typer.echo("Removed: " + ", ".join(f"{count} {kind}" for kind, count in vars(found).items()))


def rekey(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Encrypt every stored secret with the first key, so that the keys after it can be taken away."""
    settings = read_settings(data_dir)
    configure(settings.log_level, "rekey")
    application = open_application(settings)
    box = application.parts.get(SecretBox)
    try:
        with application.database.write() as session:
            count = credentials.reseal(session, box)
    except Conflict as error:
        raise CommandError(error.message, hint="nothing was changed") from None
    first, *others = box.fingerprints
    if as_json:
        typer.echo(json.dumps({"encrypted": count, "key": first, "unused": others}))
    else:
        typer.echo(f"Encrypted {count} credentials anew; all are encrypted with the key {first} now.")


def ps(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the processes of this installation on this machine: its roles, and every workload that lives."""
    settings = read_settings(data_dir)
    rows = [*_roles(settings), *_workloads(settings)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        typer.echo(f"Nothing of the installation in {settings.data_dir} runs; --data-dir names another.", err=True)
        return
    typer.echo(f"{'ROLE':<12} {'PID':>8} {'MEMORY':>10}  WHAT")
    for row in rows:
        typer.echo(f"{row['role']:<12} {row['pid']:>8} {row['memoryBytes'] // 2**20:>6} MiB  {row['what']}")


def _roles(settings: Settings) -> list[dict[str, Any]]:
    folder = processes_dir(settings)
    rows = []
    for note in sorted(folder.iterdir()) if folder.is_dir() else []:
        role, _, pid = note.name.rpartition("-")
        row = _process_row(role, int(pid), "")
        if row is not None:
            rows.append(row)
    return rows


def _workloads(settings: Settings) -> list[dict[str, Any]]:
    if not (settings.data_dir / "workloads").is_dir():
        return []
    executor = open_application(settings).parts.get(Executor)  # type: ignore[type-abstract]
    rows = []
    for workload_id in executor.ids():
        seen = executor.observe(workload_id)
        workload = executor.describe(workload_id)
        if not seen.is_alive or seen.supervisor_pid is None or workload is None:
            continue
        owner = " ".join(f"{name}={value}" for name, value in workload.labels.items())
        row = _process_row("workload", seen.supervisor_pid, f"{workload_id} {owner}")
        if row is not None:
            rows.append(row)
    return rows


def _process_row(role: str, pid: int, what: str) -> dict[str, Any] | None:
    """A line of ``ps``; the memory is that of the process and all below it."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        memory = sum(member.memory_info().rss for member in family)
        pids = [member.pid for member in family]
    except psutil.Error:
        return None
    return {"role": role, "pid": pid, "pids": pids, "memoryBytes": memory, "what": what}


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say what isolation, memory control and network control this machine gives, and how to get what is missing."""
    settings = read_settings(data_dir)
    isolation = isolation_for(settings.sandbox)
    found = [*isolation.abilities(), _database_ability(settings), _folder_ability(settings), _keys_ability(settings)]
    if as_json:
        typer.echo(json.dumps([vars(ability) for ability in found], indent=1, default=lambda one: one.__dict__))
    else:
        for ability in found:
            typer.echo(f"{'ok     ' if ability.is_available else 'MISSING'}  {ability.name}")
            for label, text in (("why", ability.why), ("do", ability.remedy)):
                if text and not ability.is_available:
                    typer.echo(f"           {label}: {text}")
    if isolation.warning is not None and not as_json:
        typer.echo(f"\n{isolation.warning}")
    if not isolation.is_sandboxed and not isolation.is_off:
        raise typer.Exit(1)


def _database_ability(settings: Settings) -> Ability:
    name = f"database ({settings.database().partition(':')[0]})"
    if settings.database_url is None and not settings.data_dir.exists():
        return Ability(name, is_available=True)
    try:
        with Database(settings.database()).read() as session:
            session.connection()
    except SQLAlchemyError as error:
        return Ability(
            name, is_available=False, why=str(error).partition("\n")[0], remedy="check MODELYARD_DATABASE_URL"
        )
    return Ability(name, is_available=True)


def _keys_ability(settings: Settings) -> Ability:
    """Whether every stored secret can be decrypted. Makes nothing: neither a key nor a database."""
    name, file = "keys of secrets", settings.data_dir / "secret.key"
    if settings.secret_keys is None and not file.exists():
        return Ability(name, is_available=True)
    setting = settings.secret_keys.get_secret_value() if settings.secret_keys else None
    remedy = "restore secret.key from a backup, or name the key in MODELYARD_SECRET_KEYS"
    try:
        box = open_secret_box(setting, file)
        with Database(settings.database()).read() as session:
            lost = credentials.unreadable(session, box)
    except SecretKeyError as error:
        return Ability(name, is_available=False, why=str(error), remedy=remedy)
    except SQLAlchemyError:  # which the database's own line tells
        return Ability(name, is_available=True)
    if lost:
        keys = ", ".join(f"{fingerprint} ({count})" for fingerprint, count in lost.items())
        return Ability(name, is_available=False, why=f"credentials need keys that are not here: {keys}", remedy=remedy)
    return Ability(name, is_available=True)


def _folder_ability(settings: Settings) -> Ability:
    name = f"data directory {settings.data_dir}"
    existing = settings.data_dir
    while not existing.exists():
        existing = existing.parent
    free = psutil.disk_usage(str(existing)).free
    if not os.access(existing, os.W_OK):
        return Ability(name, is_available=False, why="it cannot be written", remedy="choose another with --data-dir")
    if free < 5 * 2**30:
        return Ability(name, is_available=False, why=f"{free // 2**20} MiB are free", remedy="free some space")
    return Ability(name, is_available=True)
