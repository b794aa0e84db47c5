"""The log of a training: what the tasks and the runner wrote, while they write it and afterwards."""

from functools import partial

from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.log_reading import Kept, LogQuery, LogReader, Sources, serve_log
from modelyard.identity.caller import Caller
from modelyard.kernel.database import Database
from modelyard.kernel.routing import Download
from modelyard.kernel.wire import read_bool
from modelyard.learning.models import find_model
from modelyard.storage.blobs import BlobStore


def read_log(
    session: Session,
    caller: Caller,
    database: Database,
    blobs: BlobStore,
    executor: Executor,
    project_id: str,
    model_id: str,
    query: LogQuery,
) -> Download:
    """The log so far, or with ``follow`` as it comes (``compute.log_reading``)."""
    find_model(session, caller, project_id, model_id)
    times = read_bool(query.timestamps, "timestamps")
    reader = LogReader(partial(_look, database, caller, project_id, model_id), blobs, executor, times=times)
    follow = read_bool(query.follow, "follow")
    return serve_log(reader, f"learning-model-{model_id}.log", tail=query.tail, follow=follow, times=times)


def _look(database: Database, caller: Caller, project_id: str, model_id: str) -> Sources:
    with database.read() as session:
        model = find_model(session, caller, project_id, model_id)
    kept = () if model.log_digest is None else (Kept(model.log_digest, model.log_first_offset),)
    return Sources(kept, model.workload_id, model.status, model.ended_at is not None)
