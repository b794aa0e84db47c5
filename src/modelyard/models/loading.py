"""Trying whether a model can be loaded with the image that was just built for it."""

import contextlib
import time
from collections.abc import Callable

import msgspec

from modelyard.compute.ending import end_and_remove
from modelyard.compute.executor import Executor
from modelyard.compute.services.readiness import own_reason
from modelyard.compute.services.workloads import Materials, without_secrets, workload_of
from modelyard.kernel.errors import Conflict, ModelyardError
from modelyard.kernel.ids import new_id
from modelyard.kernel.outages import Outage
from modelyard.kernel.settings import Settings
from modelyard.models.serving import load_servable, service_spec
from modelyard.operations.work import Work

TIMEOUT_S = 120.0
END_TIMEOUT_S = 10.0
LOOK_S = 0.05
UNTRIED = "The model was not loaded with this image: "
FAILED = "The model cannot be served with this image: "


def try_loading(work: Work, version_id: str, image_digest: str, say: Callable[[str], None]) -> None:
    """Load the model of a version in the sandbox, as a deployment would, and say how that went.

    The build is what it is: a model that cannot be loaded may lack a parameter's value or a file that comes later.
    """
    settings, executor = work.parts.get(Settings), work.parts.get(Executor)  # type: ignore[type-abstract]
    materials = work.parts.get(Materials)
    workload_id = new_id()
    try:
        with work.database.read() as session:
            servable = load_servable(session, version_id)
        if servable.model.custom_model_type != "inference" or servable.has_own_server:
            return
        parameters = servable.parameters()
        spec = service_spec(
            settings, servable, image_digest, parameters=parameters, acts_for=str(work.created_by), batches=False
        )
        spec = msgspec.structs.replace(spec, command=(*spec.command, "--check"))
        executor.start(workload_of(spec, workload_id, materials, {"purpose": "build"}))
    except Outage:
        raise
    except ModelyardError as error:
        say(UNTRIED + error.message)
        return
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while (seen := executor.observe(workload_id)).is_alive and time.monotonic() < deadline:
            work.checkpoint()
            work.pause(LOOK_S)
        if seen.is_alive:
            say(f"{UNTRIED}that takes longer than {TIMEOUT_S:.0f} s.")
        elif seen.exit_code == 0:
            say("The model can be served with this image.")
        else:
            reason = own_reason(executor.address(workload_id))
            told = seen.reason or (without_secrets(reason, spec, materials) if reason else None)
            say(FAILED + (told or f"it ended with exit code {seen.exit_code}"))
    finally:
        with contextlib.suppress(Conflict):  # what does not end now is collected later
            end_and_remove(executor, workload_id, END_TIMEOUT_S)
