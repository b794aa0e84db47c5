"""Making a project's data ready: its classes, the part of each row, and the table that trainings map into memory."""

from typing import Any

import msgspec
import polars as pl

from modelyard.kernel.settings import Settings
from modelyard.learning.partitions import HOLDOUT, Fit, Partitioning, assign, fits
from modelyard.learning.projects import PREPARE
from modelyard.learning.table_files import TableStore, bytes_of, features, plain_column, read_column
from modelyard.learning.tables import Project, ProjectStatus
from modelyard.learning.targets import MAX_CLASSES, class_labels, in_order
from modelyard.operations.work import Handler, OperationFailed, Work
from modelyard.storage.blobs import BlobStore, store_bytes


def handlers() -> list[Handler]:
    return [Handler(PREPARE, (prepare,), on_failure=_on_failure, on_cancel=lambda work: _on_failure(work, "canceled"))]


def prepare(work: Work) -> None:
    """Reads the target once, decides the part of each row, and writes the table."""
    blobs = work.parts.get(BlobStore)  # type: ignore[type-abstract]
    with work.database.read() as session:
        project = session.get(Project, work.payload["project_id"])
    if project is None:
        raise OperationFailed("The project was deleted.")
    if project.status != ProjectStatus.PREPARING.value:
        return
    target = None
    if project.target is not None:
        target = read_column(blobs, work.parts.get(Settings).data_dir / "spool", project.table_digest, project.target)
    partitioning = msgspec.convert(project.partitioning, Partitioning)
    labels: list[str] = []
    classes = None
    if target is not None and project.target_type in {"Binary", "Multiclass"}:
        classes = plain_column(target)
        labels = _classes(project, classes)
    elif target is not None and not bool(target.cast(pl.Float64).is_finite().all()):
        raise OperationFailed(f"The target {project.target!r} is not a finite number in every row.")
    parts = assign(partitioning, project.row_count, classes)
    _check_parts(partitioning, parts, classes)
    work.checkpoint()
    folder = work.parts.get(TableStore).path(project.table_digest)
    blob = store_bytes(blobs, bytes(bytes_of(parts)))
    with work.unit() as session:
        row = session.get(Project, project.id, with_for_update=True)
        if row is not None:
            found = features(folder)
            row.columns = [column | found[column["name"]] for column in row.columns]
            row.class_labels = labels
            row.positive_class_label = labels[0] if project.target_type == "Binary" else None
            row.partition_digest = blob.digest
            row.partition_rows = _named_parts(partitioning, parts)
            row.status = ProjectStatus.READY.value


def _classes(project: Project, target: pl.Series) -> list[str]:
    labels = class_labels(target)
    if any("\0" in label for label in labels):
        raise OperationFailed(f"A class of the target {project.target!r} has a NUL character in its name.")
    if len(set(labels)) != len(labels):
        raise OperationFailed(f"Two classes of the target {project.target!r} have the same name.")
    if project.target_type == "Binary" and len(labels) != 2:
        raise OperationFailed(f"The target {project.target!r} has {len(labels)} different values, not two.")
    if len(labels) > MAX_CLASSES:
        raise OperationFailed(f"The target {project.target!r} has {len(labels)} classes; it may have {MAX_CLASSES}.")
    wanted = project.positive_class_label
    if wanted is not None and wanted not in labels:
        raise OperationFailed(f"positiveClassLabel: the classes are {labels[0]!r} and {labels[1]!r}, not {wanted!r}.")
    return in_order(labels, wanted)


def _check_parts(partitioning: Partitioning, parts: pl.Series, classes: pl.Series | None) -> None:
    """Every training needs rows, of every class, and rows to be measured on."""
    frame = pl.DataFrame(
        {"part": parts, "class": classes if classes is not None else pl.repeat(0, len(parts), eager=True)}
    )
    rows: dict[int, set[Any]] = {}
    for part, value in frame.unique().iter_rows():
        rows.setdefault(part, set()).add(value)
    everything = set(frame["class"].unique())
    for fit in fits(partitioning):
        _check_fit(fit, rows, everything, frame)


def _check_fit(fit: Fit, rows: dict[int, set[Any]], everything: set[Any], frame: pl.DataFrame) -> None:
    empty = [part for part in [*fit.train, *fit.score] if part not in rows]
    if empty:
        raise OperationFailed(f"{frame.height} rows are too few: nothing would be left for the training {fit.id}.")
    missing = everything - set().union(*(rows[part] for part in fit.train))
    if missing:
        label = min(missing, key=str)
        count = frame.filter(pl.col("class") == label).height
        raise OperationFailed(
            f"Class {label!r} has {count} rows, so few that {fit.id} would be trained without it. Leave these rows out "
            "of the dataset, or take fewer folds or no holdout."
        )


def _named_parts(partitioning: Partitioning, parts: pl.Series) -> dict[str, int]:
    counts = dict(parts.value_counts().iter_rows())
    names = {HOLDOUT: "holdout"}
    if partitioning.method == "tvh":
        names |= {0: "validation", 1: "training"}
    return {names.get(part, f"fold-{part + 1}"): counts[part] for part in sorted(counts)}


def _on_failure(work: Work, message: str) -> None:
    with work.unit() as session:
        row = session.get(Project, work.payload["project_id"], with_for_update=True)
        if row is not None and row.status == ProjectStatus.PREPARING.value:
            row.status, row.reason = ProjectStatus.ERRORED.value, message
