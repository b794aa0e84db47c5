"""What a request for a project says, with every contradiction in it."""

from collections.abc import Mapping

from modelyard.datasets.profile import Column
from modelyard.kernel.problems import Problems
from modelyard.kernel.wire import changes
from modelyard.learning.partitions import Partitioning
from modelyard.learning.schemas import PartitioningBody, ProjectCreate
from modelyard.learning.targets import METRICS, default_metric, infer_type, target_fault

DEFAULT_FOLDS = 5
DEFAULT_VALIDATION_PCT = 16.0
DEFAULT_HOLDOUT_PCT = 20.0


def partitioning_of(body: PartitioningBody | None, problems: Problems) -> Partitioning:
    """The partitioning with its defaults; what does not fit together is noted as ``partitioning``."""
    given = changes(body) if body is not None else {}
    method = given.get("method", "cv")
    holdout = float(given.get("holdout_pct", DEFAULT_HOLDOUT_PCT))
    if method == "cv":
        if "validation_pct" in given:
            problems.add("partitioning", "validationPct is for the method tvh; with cv, folds are validated on in turn")
        return Partitioning("cv", given.get("folds", DEFAULT_FOLDS), None, holdout, given.get("seed", 0))
    if "folds" in given:
        problems.add("partitioning", "folds is for the method cv; with tvh, validationPct says what is validated on")
    validation = float(given.get("validation_pct", DEFAULT_VALIDATION_PCT))
    if not validation:
        problems.add("partitioning", "validationPct must be above 0")
    if validation + holdout > 99:
        text = f"validationPct {validation:g} and holdoutPct {holdout:g} leave less than 1 % of the rows to train on"
        problems.add("partitioning", text)
    return Partitioning("tvh", None, validation, holdout, given.get("seed", 0))


def target_of(body: ProjectCreate, columns: Mapping[str, Column], problems: Problems) -> tuple[str | None, str]:
    """The target column and its type, given or inferred. A project without a target finds anomalies."""
    given = changes(body)
    name, wanted = given.get("target"), given.get("target_type")
    if name is None:
        if wanted not in {None, "Anomaly"}:
            problems.add("target", f"is required for the target type {wanted}; only Anomaly has none")
        return None, "Anomaly"
    if wanted == "Anomaly":
        problems.add("target", "must be left out for the target type Anomaly")
        return None, "Anomaly"
    column = columns.get(name)
    if column is None:
        problems.add("target", f"there is no column {name!r} in the dataset; it has {_some(columns)}")
        return name, wanted or "Regression"
    if len(columns) < 2:
        problems.add("target", f"the dataset has no column beside {name!r} to learn from")
    target_type = wanted or infer_type(column)
    if fault := target_fault(column, target_type):
        problems.add("target", fault)
    return name, target_type


def metric_of(wanted: str | None, target_type: str, problems: Problems) -> str | None:
    """The metric to rank by."""
    if wanted is None:
        return default_metric(target_type)
    if wanted not in METRICS[target_type]:
        known = ", ".join(METRICS[target_type]) or "none: there is nothing to compare scores with"
        problems.add("metric", f"{wanted} does not measure {target_type} models; these do: {known}")
    return wanted


def weight_fault(column: Column) -> str | None:
    """Why the column cannot say how much each row counts, or ``None``."""
    if column.type != "Numeric":
        return f"column {column.name!r} does not hold numbers"
    if column.missing_count:
        return f"column {column.name!r} has no value in {column.missing_count} rows"
    low, high = column.min, column.max
    if isinstance(low, int | float) and low < 0:
        return f"column {column.name!r} has values below 0, such as {low:g}"
    if isinstance(high, int | float) and high <= 0:
        return f"column {column.name!r} is 0 in every row, so that no row would count"
    return None


def _some(columns: Mapping[str, Column]) -> str:
    names = [repr(name) for name in columns]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
