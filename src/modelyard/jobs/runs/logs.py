"""The log of a run: what all its attempts wrote, while they write it and afterwards."""

from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.log_reading import Kept, LogQuery, LogReader, Sources, serve_log
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.jobs.runs.service import find_run, require_logs
from modelyard.jobs.tables import CustomJobRun, RunLog
from modelyard.kernel.clock import to_wire
from modelyard.kernel.database import Database
from modelyard.kernel.routing import Download
from modelyard.kernel.wire import read_bool
from modelyard.storage.blobs import BlobStore


def read_log(
    session: Session,
    caller: Caller,
    database: Database,
    blobs: BlobStore,
    executor: Executor,
    job_id: str,
    run_id: str,
    query: LogQuery,
) -> Download:
    """The log so far, or with ``follow`` as it comes (``compute.log_reading``)."""
    run = find_run(session, caller, job_id, run_id, Permission.VIEW)
    require_logs(run)
    times = read_bool(query.timestamps, "timestamps")
    reader = LogReader(partial(_look, database, caller, job_id, run_id), blobs, executor, times=times)
    follow = read_bool(query.follow, "follow")
    return serve_log(reader, f"custom-job-run-{job_id}-{run_id}.log", tail=query.tail, follow=follow, times=times)


def sources_of(session: Session, run: CustomJobRun) -> Sources:
    rows = session.execute(
        select(RunLog.digest, RunLog.first_offset).where(RunLog.run_id == run.id).order_by(RunLog.attempt)
    )
    kept = tuple(Kept(*row) for row in rows)
    if not kept and run.ended_at is not None and run.reason is not None:
        time = to_wire(run.ended_at)
        lines = "".join(f"{time} [modelyard] {line}\n" for line in run.reason.splitlines())
        kept = (Kept("", 0, lines.encode()),)
    return Sources(kept, run.workload_id, run.status, run.ended_at is not None)


def _look(database: Database, caller: Caller, job_id: str, run_id: str) -> Sources:
    """What the run is now; raises ``ModelyardError`` once the caller may not see it any more."""
    with database.read() as session:
        run = find_run(session, caller, job_id, run_id, Permission.VIEW)
        require_logs(run)
        return sources_of(session, run)
