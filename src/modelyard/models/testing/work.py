"""Running a test: builds the image, starts the model in the sandbox, asks it what each check asks."""

import mimetypes
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.compute.services.probing import answers
from modelyard.compute.services.readiness import Sight, look_at
from modelyard.compute.services.service import ServiceSpec
from modelyard.compute.services.workloads import Materials, without_secrets, workload_of
from modelyard.datasets import service as datasets
from modelyard.datasets.cells import spelled
from modelyard.datasets.tables import Dataset, DatasetVersion
from modelyard.environments.images.store import ImageStore
from modelyard.environments.tables import EnvironmentVersion
from modelyard.environments.work import ensure_image
from modelyard.kernel.errors import ModelyardError
from modelyard.kernel.ids import new_id
from modelyard.kernel.settings import Settings
from modelyard.models import serving, usage
from modelyard.models.serving import Servable
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.testing import checks
from modelyard.models.testing.checks import Bench, Verdict
from modelyard.models.testing.conversation import Conversation, ModelFailedError
from modelyard.models.testing.service import OPERATION_KIND, log_text, mark_ended
from modelyard.models.testing.tables import OPEN, Check, CustomModelTest, TestLogLine, TestStatus
from modelyard.operations.work import Cancelled, Handler, OperationFailed, Step, Work
from modelyard.storage.blobs import BlobStore, store_bytes

LOOK_PAUSE_S = 0.05
END_GRACE_S = 5.0
CHECKS: dict[Check, Callable[[Bench], Verdict]] = {
    Check.ERROR_CHECK: checks.error_check,
    Check.NULL_VALUE_IMPUTATION: checks.null_value_imputation,
    Check.SIDE_EFFECTS: checks.side_effects,
    Check.PREDICTION_VERIFICATION: checks.prediction_verification,
    Check.PERFORMANCE: checks.performance,
    Check.STABILITY: checks.stability,
}


def handlers() -> list[Handler]:
    steps: list[Step] = [launch, *(_check_step(check) for check in CHECKS), conclude]
    return [Handler(OPERATION_KIND, tuple(steps), on_failure=_on_failure, on_cancel=_on_cancel, max_attempts=3)]


def launch(work: Work) -> dict[str, Any] | None:
    """The first check: the image can be built and the model comes up."""
    _note(work, Check.LONG_RUNNING_SERVICE, TestStatus.IN_PROGRESS, "Building the environment.")
    _tell_packed(work)
    try:
        spec = _spec(work)
        _note(work, Check.LONG_RUNNING_SERVICE, TestStatus.IN_PROGRESS, "Starting the model.")
        _bring_up(work, spec)
    except (ModelyardError, OperationFailed, ModelFailedError) as error:
        reason = error.message if isinstance(error, ModelyardError | OperationFailed) else str(error)
        _end_check(work, Check.LONG_RUNNING_SERVICE, Verdict(False, f"The model could not be started: {reason}"))
        with work.unit() as session:
            test = _open_test(session, work)
            mark_ended(session, test, TestStatus.ABORTED, "Not run, because the model could not be started.")
            test.overall_status = TestStatus.FAILED.value
        _save_log(work)
        return {"ended": True}
    _end_check(work, Check.LONG_RUNNING_SERVICE, Verdict(True, "The model was started and is ready."))
    return None


def _check_step(check: Check) -> Step:
    def step(work: Work) -> dict[str, Any] | None:
        with work.database.read() as session:
            test = session.get_one(CustomModelTest, work.payload["test_id"])
        if work.state.get("ended") or test.configuration.get(check.value, "skip") == "skip":
            return None
        _note(work, check, TestStatus.IN_PROGRESS, "")
        try:
            verdict = _bytes_check(work, test) if _takes_bytes(work, test) else _rows_check(work, check)
        except ModelFailedError as error:
            verdict = Verdict(False, _with_end_of_workload(work, str(error)))
        _end_check(work, check, verdict)
        return None

    step.__name__ = check.value
    return step


def _rows_check(work: Work, check: Check) -> Verdict:
    with tempfile.TemporaryDirectory() as folder:
        return CHECKS[check](_bench(work, check, Path(folder)))


def _takes_bytes(work: Work, test: CustomModelTest) -> bool:
    with work.database.read() as session:
        return serving.is_unstructured(session.get_one(CustomModel, test.model_id))


def _bytes_check(work: Work, test: CustomModelTest) -> Verdict:
    """The error check of a model that takes bytes: it answers to the dataset's file as it was uploaded."""
    settings, blobs = work.parts.get(Settings), work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        dataset = session.get_one(DatasetVersion, test.dataset_version_id)
    digest = dataset.digest or dataset.table_digest
    if digest is None or dataset.size_bytes > settings.max_prediction_bytes:
        return Verdict(
            False,
            f"The dataset has {dataset.size_bytes} bytes; a request may have {settings.max_prediction_bytes}.",
        )
    content = blobs.read(digest)
    model = Conversation(_bring_up(work, _spec(work)), settings.prediction_timeout_s)
    answered = model.send_bytes(content, mimetypes.guess_type(dataset.file_name)[0] or "application/octet-stream")
    return Verdict(True, f"The model answered the {len(content)} bytes of the dataset with {answered} bytes.")


def conclude(work: Work) -> dict[str, Any] | None:
    """Ends the workload and the test."""
    if not work.state.get("ended"):
        with work.unit() as session:
            test = _open_test(session, work)
            found = {status["status"] for status in test.statuses.values()}
            overall = TestStatus.SUCCEEDED
            if TestStatus.FAILED.value in found:
                overall = TestStatus.FAILED
            elif TestStatus.WARNING.value in found:
                overall = TestStatus.WARNING
            test.overall_status = overall.value
            test.completed_at = datetime.now(UTC)
            usage.remove(session, usage.UserKind.TEST, test.id)
        _save_log(work, grace_s=END_GRACE_S)
    return None


def _spec(work: Work) -> ServiceSpec:
    settings, blobs = work.parts.get(Settings), work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        test = session.get_one(CustomModelTest, work.payload["test_id"])
        servable = _servable(session, test)
        acts_for = test.created_by_id
        image = serving.image_of(session, blobs, servable)
    ensure_image(work, image, lambda text: _say(work, text))
    resources = test.resources
    return serving.service_spec(
        settings,
        servable,
        work.parts.get(ImageStore).digest(image),
        parameters=servable.parameters(),
        acts_for=acts_for,
        memory_bytes=resources.get("maximum_memory"),
        bundle_id=resources.get("resource_bundle_id"),
        network_policy=resources.get("network_egress_policy"),
        requires_ha=bool(resources.get("requires_ha")),
    )


def _tell_packed(work: Work) -> None:
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        servable = _servable(session, session.get_one(CustomModelTest, work.payload["test_id"]))
        note = serving.packed_note(session, blobs, servable)
    if note is not None:
        _say(work, note)


def _servable(session: Session, test: CustomModelTest) -> Servable:
    """The version on the environment that the test names, which need not be its own."""
    version = session.get_one(CustomModelVersion, test.version_id)
    environment = session.get_one(EnvironmentVersion, test.environment_version_id)
    return serving.servable_on(session, version, environment)


def _bring_up(work: Work, spec: ServiceSpec) -> Path:
    """The socket of a ready workload: the one that this test has already, or a new one. Raises ``ModelFailedError``."""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    materials = work.parts.get(Materials)
    with work.database.read() as session:
        workload_id = session.get_one(CustomModelTest, work.payload["test_id"]).workload_id
    if workload_id is None or not executor.observe(workload_id).is_alive:
        workload_id = new_id()
        with work.unit() as session:
            test = _open_test(session, work)
            test.workload_id, test.node_id = workload_id, executor.node_id
        labels = {"test": work.payload["test_id"]}
        executor.start(workload_of(spec, workload_id, materials, labels))
    began = datetime.now(UTC)
    while True:
        work.checkpoint()
        sight = look_at(
            executor,
            workload_id,
            spec,
            created_at=began,
            now=datetime.now(UTC),
            is_ready=answers,
            masked=partial(without_secrets, spec=spec, materials=materials),
        )
        if sight.state == "ready":
            return Path(str(sight.socket_path))
        if sight.state != "alive":
            raise ModelFailedError(_reason(sight))
        work.pause(LOOK_PAUSE_S)


def _reason(sight: Sight) -> str:
    return sight.reason or "its workload is gone"


def _bench(work: Work, check: Check, folder: Path) -> Bench:
    settings = work.parts.get(Settings)
    socket_path = _bring_up(work, _spec(work))
    with work.database.read() as session:
        test = session.get_one(CustomModelTest, work.payload["test_id"])
        servable = _servable(session, test)
        dataset = session.get_one(DatasetVersion, test.dataset_version_id)
    model = servable.model
    parameters = test.parameters.get(check.value, {})
    rows, are_texts = _cells(work, dataset, folder)
    verification = _verification_rows(work, parameters, folder)
    bench = Bench(
        model=Conversation(socket_path, settings.prediction_timeout_s),
        rows=rows.drop([name for name in (model.target_name,) if name in rows.columns]),
        target_name=model.target_name,
        positive_class_label=model.positive_class_label if model.target_type == "Binary" else None,
        parameters=parameters,
        seed=test.id,
        checkpoint=work.checkpoint,
        say=lambda text: _say(work, f"{check.value}: {text}"),
        verification_rows=verification[0],
        rows_are_texts=are_texts,
        verification_rows_are_texts=verification[1],
    )
    if bench.rows.height == 0 or bench.rows.width == 0:
        raise OperationFailed("The dataset has nothing to predict from: no rows, or no column beside the target.")
    return bench


def _verification_rows(
    work: Work, parameters: dict[str, Any], folder: Path
) -> tuple[pl.DataFrame, bool] | tuple[None, bool]:
    """The rows to verify as ``_cells`` gives them, beside the expected predictions in the type of the dataset."""
    column = parameters.get("predictionsColumn")
    if column is None:
        return None, False
    with work.database.read() as session:
        dataset = session.get_one(Dataset, parameters["datasetId"])
        version = session.get_one(DatasetVersion, dataset.latest_version_id)
    rows, are_texts = _cells(work, version, folder)
    return rows.with_columns(_read(work, version, folder)[column]), are_texts


def _cells(work: Work, version: DatasetVersion, folder: Path) -> tuple[pl.DataFrame, bool]:
    """The rows as a client sends them, and whether they are the texts of a CSV file."""
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    texts = datasets.read_texts(blobs, version, folder, work.parts.get(Settings))
    if texts is not None:
        return texts, True
    table = _read(work, version, folder)
    return table.select(spelled(column) for column in table.iter_columns()), False


def _read(work: Work, version: DatasetVersion, folder: Path) -> pl.DataFrame:
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with datasets.open_table(blobs, version, folder) as table:
        return table.collect()


def _with_end_of_workload(work: Work, reason: str) -> str:
    """``reason``, and why the model's process ended where it did."""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    with work.database.read() as session:
        workload_id = session.get_one(CustomModelTest, work.payload["test_id"]).workload_id
    if workload_id is None:
        return reason
    seen = executor.observe(workload_id)
    for _ in range(20):  # a process that just died may not have been collected yet
        if not seen.is_alive or "went away" not in reason:
            break
        work.pause(0.1)
        seen = executor.observe(workload_id)
    if seen.is_alive:
        return reason
    return f"{reason} ({seen.reason or f'its process ended with exit code {seen.exit_code}'})"


def _end_check(work: Work, check: Check, verdict: Verdict) -> None:
    with work.database.read() as session:
        level = session.get_one(CustomModelTest, work.payload["test_id"]).configuration.get(check.value, "fail")
    status = TestStatus.SUCCEEDED
    if not verdict.passed:
        status = TestStatus.WARNING if level == "warn" else TestStatus.FAILED
    _note(work, check, status, verdict.message)
    if check is Check.SIDE_EFFECTS:
        with work.unit() as session:
            version_id = _open_test(session, work).version_id
            session.get_one(CustomModelVersion, version_id).side_effects_passed = verdict.passed


def _note(work: Work, check: Check, status: TestStatus, message: str) -> None:
    with work.unit() as session:
        test = _open_test(session, work)
        test.overall_status = TestStatus.IN_PROGRESS.value
        test.statuses = {**test.statuses, check.value: {"status": status.value, "message": message}}
        line = f"{check.value}: {status.value.replace('_', ' ')}" + (f": {message}" if message else "")
        session.add(TestLogLine(test_id=test.id, id=new_id(), at=datetime.now(UTC), text=line))


def _say(work: Work, text: str) -> None:
    with work.unit() as session:
        test = _open_test(session, work)
        session.add(TestLogLine(test_id=test.id, id=new_id(), at=datetime.now(UTC), text=text))


def _open_test(session: Session, work: Work) -> CustomModelTest:
    """The test, while it has not ended; a test that was canceled in the meantime cancels its work."""
    test = session.get(CustomModelTest, work.payload["test_id"], with_for_update=True)
    if test is None or TestStatus(test.overall_status) not in OPEN:
        raise Cancelled(work.id)
    return test


def _save_log(work: Work, *, grace_s: float = 0) -> None:
    """Ends the workload, and keeps the log as a blob from then on."""
    executor = work.parts.get(Executor)  # type: ignore[type-abstract]
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        test = session.get(CustomModelTest, work.payload["test_id"])
        workload_id = test.workload_id if test else None
    if workload_id is not None:
        executor.stop(workload_id, grace_s)
        while executor.observe(workload_id).is_alive:
            work.pause(LOOK_PAUSE_S)
    with work.database.read() as session:
        text = log_text(session, blobs, executor, test) if test else ""
    blob = store_bytes(blobs, text.encode())
    with work.unit() as session:
        row = session.get(CustomModelTest, work.payload["test_id"])
        if row is not None:
            row.log_digest = blob.digest
    if workload_id is not None:
        executor.remove(workload_id)


def _on_failure(work: Work, message: str) -> None:
    with work.unit() as session:
        test = session.get(CustomModelTest, work.payload["test_id"], with_for_update=True)
        if test is not None and TestStatus(test.overall_status) in OPEN:
            session.add(TestLogLine(test_id=test.id, id=new_id(), at=datetime.now(UTC), text=message))
            mark_ended(session, test, TestStatus.ABORTED, message)
    _save_log(work)


def _on_cancel(work: Work) -> None:
    with work.unit() as session:
        test = session.get(CustomModelTest, work.payload["test_id"], with_for_update=True)
        if test is not None and TestStatus(test.overall_status) in OPEN:
            mark_ended(session, test, TestStatus.CANCELED, "The test was canceled.")
    _save_log(work)
