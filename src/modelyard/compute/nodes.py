"""The machine that workloads are executed on: one at a time, known by the data directory that it has.

The process executor keeps its workloads on this machine's disk and asks this machine's kernel about them. A controller
with another disk would take them all for gone, and execute them a second time. See docs/decisions/0048.
"""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import String, Text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from modelyard.compute.executor import Executor, Observation, State
from modelyard.compute.supervisor.system import boot_id
from modelyard.kernel.database import Base, upsert

FRESH_S = 60.0
"""A node that was heard of within this time is taken to be at work."""
HEARTBEAT_S = 10.0
NODE_FILE = "node"
KIND = "process"
FOREIGN = "it was executed on a machine that was given up (modelyard admin adopt)"


class NodeTakenError(Exception):
    """Another machine executes the workloads of this database. The text says which, and ``remedy`` what to do."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text)
        self.remedy = remedy


class ExecutorNode(Base):
    """The machine that executes workloads, by kind of executor."""

    __tablename__ = "executor_nodes"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    node_id: Mapped[str] = mapped_column(String(32))
    boot_id: Mapped[str] = mapped_column(String(36))
    host_name: Mapped[str] = mapped_column(String(255))
    data_dir: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[datetime]
    """When one of its controllers was heard of last."""


@dataclass(frozen=True)
class Node:
    """This machine with this data directory. ``boot_id`` is another one on every machine, and after each start."""

    id: str
    boot_id: str
    host_name: str
    data_dir: Path


class OnNode:
    """Columns of a row that names a workload, or is one: the node that has it."""

    node_id: Mapped[str | None] = mapped_column(String(32))


class Executed(Protocol):
    """A row of those."""

    workload_id: Any
    node_id: Any


def this_node(data_dir: Path) -> Node:
    """This machine, with the id in the data directory's file ``node``, which is made where it is missing."""
    data_dir = data_dir.absolute()
    path = data_dir / NODE_FILE
    if not path.exists():
        new = data_dir / f".{NODE_FILE}-{secrets.token_hex(4)}"
        new.write_text(secrets.token_hex(16), encoding="ascii")
        try:
            os.link(new, path)  # of several processes, the first one's counts
        except FileExistsError:
            pass
        finally:
            new.unlink()
    return Node(path.read_text(encoding="ascii").strip(), boot_id(), socket.gethostname(), data_dir)


def claim(session: Session, node: Node, now: datetime) -> None:
    """Note that this node executes the workloads of the database.

    Raises ``NodeTakenError`` where another one does, or did: its workloads are not to be executed a second time.
    """
    known = session.get(ExecutorNode, KIND, with_for_update=True)
    if known is not None:
        _check(known, node, now)
    _write(session, node, now)


def beat(session: Session, node: Node, now: datetime) -> bool:
    """Note that this node is at work; whether it still is the one that executes workloads."""
    statement = update(ExecutorNode).where(ExecutorNode.kind == KIND, ExecutorNode.node_id == node.id)
    found = session.execute(statement.values(seen_at=now, boot_id=node.boot_id))
    return bool(found.rowcount)  # type: ignore[attr-defined] # of a statement that returns no rows


def adopt(session: Session, node: Node, now: datetime) -> ExecutorNode | None:
    """Make this node the one that executes; what was under way on the one before, which is returned, is given up.

    Raises ``NodeTakenError`` while the other one is at work.
    """
    known = session.get(ExecutorNode, KIND, with_for_update=True)
    if known is not None and known.node_id != node.id and _is_fresh(known, now):
        raise NodeTakenError(
            f"{_named(known)} is at work on this database: its controller was heard of {_ago(known, now)} ago",
            f"stop it there, wait {FRESH_S:g} s, and adopt again",
        )
    if known is not None:
        session.expunge(known)  # so that it stays as it was
    _write(session, node, now)
    return known


def observe(executor: Executor, row: Executed) -> Observation:
    """What is known of a row's workload. One of a node that was given up is lost: nobody sees how it ended."""
    if row.node_id is not None and row.node_id != executor.node_id:
        return Observation(State.LOST, reason=FOREIGN)
    return executor.observe(str(row.workload_id))


def _write(session: Session, node: Node, now: datetime) -> None:
    values: dict[str, Any] = {
        "node_id": node.id,
        "boot_id": node.boot_id,
        "host_name": node.host_name[:255],
        "data_dir": str(node.data_dir),
        "seen_at": now,
    }
    statement = upsert(session, ExecutorNode).values(kind=KIND, **values)
    session.execute(statement.on_conflict_do_update(index_elements=["kind"], set_=values))


def _check(known: ExecutorNode, node: Node, now: datetime) -> None:
    is_copied = known.boot_id != node.boot_id and known.host_name != node.host_name
    if known.node_id == node.id and not (is_copied and _is_fresh(known, now)):
        return
    if _is_fresh(known, now):
        raise NodeTakenError(
            f"{_named(known)} executes what this database asks for: its controller was heard of {_ago(known, now)} ago",
            "run controllers on one machine, with one data directory; or stop the other one and, once it has been "
            f"silent for {FRESH_S:g} s, run: modelyard admin adopt --data-dir {node.data_dir}",
        )
    raise NodeTakenError(
        f"{_named(known)} executed what this database asks for, and was heard of {_ago(known, now)} ago",
        "start the controller there, with that data directory. If that machine is gone for good, or was restored here, "
        f"give up what was under way on it: modelyard admin adopt --data-dir {node.data_dir}",
    )


def _is_fresh(known: ExecutorNode, now: datetime) -> bool:
    return now - known.seen_at < timedelta(seconds=FRESH_S)


def _named(known: ExecutorNode) -> str:
    return f"the machine {known.host_name} with the data directory {known.data_dir}"


def _ago(known: ExecutorNode, now: datetime) -> str:
    passed_s = max(0, round((now - known.seen_at).total_seconds()))
    if passed_s < 600:
        return f"{passed_s} s"
    return f"{passed_s // 60} min" if passed_s < 7200 else f"{passed_s // 3600} h"
