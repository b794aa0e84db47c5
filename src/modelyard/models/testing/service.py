"""Starting, reading and cancelling tests."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.compute.executor import Executor
from modelyard.datasets import service as datasets
from modelyard.environments import service as environments
from modelyard.environments.choosing import Names, named
from modelyard.environments.tables import Environment, EnvironmentVersion
from modelyard.identity import audit
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.identity.tables import ResourceKind, User
from modelyard.kernel.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Unread
from modelyard.kernel.ids import new_id
from modelyard.kernel.paging import Page, page
from modelyard.kernel.problems import Problems
from modelyard.kernel.routing import RequestInfo
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import UNSET, UnsetType, changes, moment
from modelyard.models import service as models
from modelyard.models import usage
from modelyard.models.rules import VERSION_RESOURCES, reference_errors
from modelyard.models.serving import is_unstructured
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.testing.parameters import filled, levels_of, parameter_errors
from modelyard.models.testing.resources import resource_errors, resources_of, shown
from modelyard.models.testing.schemas import (
    CustomModelTesting,
    CustomModelTests,
    CustomModelTestsListQuery,
    CustomModelTestsParameters,
    CustomModelTestsResponse,
    ShortLabel,
    ShortName,
)
from modelyard.models.testing.tables import OPEN, Check, CustomModelTest, TestLogLine, TestStatus
from modelyard.operations import service as operations
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import BlobStore
from modelyard.workspaces.references import References

STATUS_TYPE = "Testing"
OPERATION_KIND = "customModelTest"


def start_test(
    session: Session, caller: Caller, settings: Settings, references: References, body: CustomModelTests
) -> tuple[CustomModelTest, Operation]:
    """Puts a test of a version in line.

    Raises ``NotFound`` for a model, version or dataset that the caller may not see, ``Forbidden`` for one that they
    may only look at, ``Invalid`` for everything else that is wrong, all of it at once.
    """
    model, version = models.find_version(
        session, caller, body.custom_model_version_id, Permission.EDIT, model_id=body.custom_model_id
    )
    session.refresh(model, with_for_update=True)  # of two started at once, one sees the other
    if _open_test(session, model.id) is not None:
        raise Invalid(f"A test of custom model {model.id} is in progress; cancel it or wait until it has ended.")
    if model.is_task:
        text = f"custom model {model.id} is a task (its type is training), which has nothing to ask for predictions"
        raise Invalid(f"customModelId: {text}; test models of the type inference", {"customModelId": text})
    levels, skipped = levels_of(body, is_unstructured=is_unstructured(model))
    parameters = CustomModelTestsParameters() if isinstance(body.parameters, UnsetType) else body.parameters
    resources = resources_of(model, version, body)
    problems = Problems()
    if body.parameters is not UNSET or "parameters" not in body.unread:
        problems.update(parameter_errors(settings, levels, parameters))
    problems.update(resource_errors(settings, resources))
    problems.update(_dataset_errors(body, needs_dataset=not is_unstructured(model)))
    environment_version, environment_errors = _environment(session, caller, version, body)
    problems.update(environment_errors)
    problems.update(reference_errors(version, "customModelVersionId", references.seen_by(session, caller)))
    dataset = None
    with problems.collecting():
        dataset = _dataset(session, caller, body.dataset_id, body.dataset_version_id)
    verification = parameters.prediction_verification_check
    if levels[Check.PREDICTION_VERIFICATION] != "skip" and not isinstance(verification, UnsetType):
        with problems.collecting():
            _check_verification(session, caller, verification.dataset_id, verification.predictions_column)
    problems.raise_all()
    if environment_version is None:
        raise Unread("environmentId")
    now = datetime.now(UTC)
    test = CustomModelTest(
        id=new_id(),
        model_id=model.id,
        version_id=version.id,
        environment_id=environment_version.environment_id,
        environment_version_id=environment_version.id,
        dataset_id=dataset.dataset_id if dataset else None,
        dataset_version_id=dataset.id if dataset else None,
        configuration={check.value: level for check, level in levels.items()},
        parameters=filled(parameters, levels),
        resources=resources,
        overall_status=TestStatus.QUEUED.value,
        statuses=_first_statuses(levels, skipped),
        created_by_id=caller.user_id,
        created_at=now,
    )
    session.add(test)
    session.flush()
    operation = operations.start(
        session,
        caller,
        OPERATION_KIND,
        status_type=STATUS_TYPE,
        payload={"test_id": test.id},
        resource_id=test.id,
        result_path=f"/customModelTests/{test.id}/",
    )
    test.operation_id = operation.id
    usage.add(session, version.id, usage.UserKind.TEST, test.id)
    audit.record(session, caller, "test", ResourceKind.CUSTOM_MODEL, model.id, {"version": version.id, "test": test.id})
    return test, operation


def list_tests(
    session: Session, caller: Caller, query: CustomModelTestsListQuery, request: RequestInfo
) -> Page[CustomModelTestsResponse]:
    """The tests of one model, newest first, those with the asked resources where any are asked."""
    models.find_model(session, caller, query.custom_model_id, Permission.VIEW)
    statement = (
        select(CustomModelTest)
        .where(CustomModelTest.model_id == query.custom_model_id)
        .order_by(CustomModelTest.id.desc())
    )
    for name, value in changes(query).items():
        if name in VERSION_RESOURCES:
            stored: Any = CustomModelTest.resources[name]
            typed = {bool: stored.as_boolean, int: stored.as_integer}.get(type(value), stored.as_string)()
            statement = statement.where(typed == value)
    return page(session, statement, query, request, lambda rows: view_tests(session, rows))


def read_test(session: Session, caller: Caller, test_id: str) -> CustomModelTestsResponse:
    return view_tests(session, [find_test(session, caller, test_id, Permission.VIEW)])[0]


def cancel_test(session: Session, caller: Caller, test_id: str) -> None:
    """Ends a test: it is canceled at once, and its workload soon after."""
    test = find_test(session, caller, test_id, Permission.EDIT)
    session.refresh(test, with_for_update=True)
    if TestStatus(test.overall_status) not in OPEN:
        raise Conflict(f"Test {test_id} has ended: it is {test.overall_status}.")
    mark_ended(session, test, TestStatus.CANCELED, "The test was canceled.")
    if test.operation_id is not None:
        operations.request_cancel(session, test.operation_id)
    audit.record(session, caller, "cancel", ResourceKind.CUSTOM_MODEL, test.model_id, {"test": test_id})


def mark_ended(session: Session, test: CustomModelTest, status: TestStatus, message: str) -> None:
    """Ends a test before its time: checks that have not ended take ``status`` too."""
    test.overall_status = status.value
    test.completed_at = datetime.now(UTC)
    test.statuses = {
        check: found if TestStatus(found["status"]) not in OPEN else {"status": status.value, "message": message}
        for check, found in test.statuses.items()
    }
    usage.remove(session, usage.UserKind.TEST, test.id)


def find_test(session: Session, caller: Caller, test_id: str, permission: Permission) -> CustomModelTest:
    test = session.get(CustomModelTest, test_id)
    unseen = f"There is no custom model test {test_id} that you may see."
    if test is None:
        raise NotFound(unseen)
    try:
        models.find_model(session, caller, test.model_id, permission)
    except NotFound:
        raise NotFound(unseen) from None
    except Forbidden:
        raise NotFound(f"You may not change custom model test {test_id}.") from None
    return test


def read_log(session: Session, caller: Caller, blobs: BlobStore, executor: Executor, test_id: str) -> str:
    """The whole log so far; raises ``NotFound`` while nothing was written."""
    text = log_text(session, blobs, executor, find_test(session, caller, test_id, Permission.VIEW))
    if not text:
        raise NotFound(f"Test {test_id} has written no log yet.")
    return text


def read_tail(session: Session, caller: Caller, blobs: BlobStore, executor: Executor, test_id: str, lines: str) -> str:
    """The last ``lines`` lines (1 to 1000, as text)."""
    test = find_test(session, caller, test_id, Permission.VIEW)
    if not lines:
        raise BadRequest("lines is required: how many of the log's last lines are wanted, from 1 to 1000")
    if not re.fullmatch("[0-9]{1,4}", lines) or not 1 <= int(lines) <= 1000:
        raise BadRequest(f"lines must be a number from 1 to 1000, not {lines[:80]!r}")
    return "\n".join(log_text(session, blobs, executor, test).splitlines()[-int(lines) :])


def log_text(session: Session, blobs: BlobStore, executor: Executor, test: CustomModelTest) -> str:
    """The test's own lines and what the model printed, by time."""
    if test.log_digest is not None:
        return blobs.read(test.log_digest).decode("utf-8", "replace")
    own = [
        f"{moment(line.at)} {line.text}"
        for line in session.scalars(select(TestLogLine).where(TestLogLine.test_id == test.id).order_by(TestLogLine.id))
    ]
    printed = []
    if test.workload_id is not None:
        printed = executor.logs(test.workload_id).read(limit=8 * 1024 * 1024).decode("utf-8", "replace").splitlines()
    return "".join(f"{line}\n" for line in sorted([*own, *printed], key=lambda line: line[:26]))


def latest_statuses(session: Session, version_ids: Sequence[str]) -> dict[str, str]:
    """The overall status of the newest test of each version that was ever tested."""
    newest = (
        select(func.max(CustomModelTest.id))
        .where(CustomModelTest.version_id.in_(version_ids))
        .group_by(CustomModelTest.version_id)
    )
    rows = session.execute(
        select(CustomModelTest.version_id, CustomModelTest.overall_status).where(CustomModelTest.id.in_(newest))
    )
    return dict(rows.tuples().all())


def view_tests(session: Session, tests: Sequence[CustomModelTest]) -> list[CustomModelTestsResponse]:
    """The wire form of several tests, in a constant number of queries."""
    names = _names(session, CustomModel, [test.model_id for test in tests])
    environments_by_id = _names(session, Environment, [test.environment_id for test in tests])
    users = dict(
        session.execute(select(User.id, User.username).where(User.id.in_({test.created_by_id for test in tests})))
        .tuples()
        .all()
    )
    versions = {
        row.id: row.label
        for row in session.scalars(
            select(CustomModelVersion).where(CustomModelVersion.id.in_({test.version_id for test in tests}))
        )
    }
    environment_versions = dict(
        session.execute(
            select(EnvironmentVersion.id, EnvironmentVersion.label).where(
                EnvironmentVersion.id.in_({test.environment_version_id for test in tests})
            )
        )
        .tuples()
        .all()
    )
    return [
        CustomModelTestsResponse(
            id=test.id,
            created=moment(test.created_at),
            created_by=users.get(test.created_by_id, ""),
            completed_at=moment(test.completed_at) if test.completed_at else None,
            custom_model=ShortName(id=test.model_id, name=names.get(test.model_id, "")),
            custom_model_image_id=test.version_id if test.overall_status == TestStatus.SUCCEEDED.value else None,
            custom_model_version=ShortLabel(id=test.version_id, label=versions.get(test.version_id, "")),
            image_type="customModelVersion",
            dataset_id=test.dataset_id,
            dataset_version_id=test.dataset_version_id,
            execution_environment=ShortName(
                id=test.environment_id, name=environments_by_id.get(test.environment_id, "")
            ),
            execution_environment_version=ShortLabel(
                id=test.environment_version_id, label=environment_versions.get(test.environment_version_id, "")
            ),
            overall_status=test.overall_status,  # type: ignore[arg-type]
            testing_status=msgspec.convert(test.statuses, CustomModelTesting),
            **shown(test.resources),
        )
        for test in tests
    ]


def _names(session: Session, table: Any, ids: Sequence[str]) -> dict[str, str]:
    return dict(session.execute(select(table.id, table.name).where(table.id.in_(set(ids)))).tuples().all())


def _open_test(session: Session, model_id: str) -> str | None:
    return session.scalar(
        select(CustomModelTest.id)
        .where(
            CustomModelTest.model_id == model_id, CustomModelTest.overall_status.in_([status.value for status in OPEN])
        )
        .limit(1)
    )


def _first_statuses(levels: dict[Check, str], skipped: dict[Check, str]) -> dict[str, dict[str, str]]:
    return {
        check.value: {
            "status": (TestStatus.SKIPPED if check in skipped else TestStatus.NOT_TESTED).value,
            "message": skipped.get(check, ""),
        }
        for check in levels
    }


def _dataset_errors(body: CustomModelTests, *, needs_dataset: bool) -> dict[str, str]:
    if needs_dataset and body.dataset_id is UNSET:
        return {"datasetId": "is required to test a structured model"}
    if body.dataset_id is UNSET and body.dataset_version_id is not UNSET and "dataset_id" not in body.unread:
        return {"datasetVersionId": "needs datasetId beside it"}
    return {}


def _environment(
    session: Session, caller: Caller, version: CustomModelVersion, body: CustomModelTests
) -> tuple[EnvironmentVersion | None, dict[str, str]]:
    version_id = None if isinstance(body.environment_version_id, UnsetType) else body.environment_version_id
    asking: Caller | None = caller
    if "environment_id" in body.unread:
        return None, {}
    if not isinstance(body.environment_id, UnsetType):
        environment_id = body.environment_id
    elif version.base_environment_id is None:
        return None, {"environmentId": "is required: the version has no base environment"}
    else:
        environment_id = version.base_environment_id
        if version_id is None:
            version_id, asking = version.base_environment_version_id, None
    try:
        with named(Names()):
            return environments.find_version(session, asking, environment_id, version_id), {}
    except Invalid as error:
        return None, error.errors


def _dataset(session: Session, caller: Caller, dataset_id: Any, version_id: Any) -> Any:
    if dataset_id is UNSET:
        return None
    found = datasets.find_version(session, caller, dataset_id, None if version_id is UNSET else version_id)
    try:
        return datasets.ready(found)
    except Conflict as error:
        raise Invalid(error.message, {"datasetId": error.message}) from error


def _check_verification(session: Session, caller: Caller, dataset_id: str, column: str) -> None:
    version = _dataset(session, caller, dataset_id, UNSET)
    names = datasets.column_names(version)
    if column not in names:
        field = f"parameters.{Check.PREDICTION_VERIFICATION.value}.predictionsColumn"
        text = f"dataset {dataset_id} has no column {column!r}; it has {', '.join(names[:20])}"
        raise Invalid(f"{field}: {text}", {field: text})
