"""The two commands, before numpy is there: it reads how many threads it may use when it is imported."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path

from modelyard_runner.options import PredictOptions, TrainOptions
from modelyard_runner.training.plan import PlanError, read_plan
from modelyard_runner.training.results import fault, write_result

CANNOT_BE_READ = 2
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def train(options: TrainOptions) -> int:
    """Train as the plan says; 0, 1 when a task is at fault, 2 for a plan or a table that cannot be read."""
    output = options.output.absolute()
    try:
        plan = read_plan(options.plan)
        if not _has_packages(output, {"fits": []}, "fit"):
            return 1
        share = max(1, len(os.sched_getaffinity(0)) // min(plan.workers, len(plan.fits)))
        for variable in THREAD_VARIABLES:
            os.environ.setdefault(variable, str(share))
        return int(importlib.import_module("modelyard_runner.training.run").train_plan(plan, output))
    except PlanError as error:
        return _cannot_be_read(error)


def predict(options: PredictOptions) -> int:
    """Score a table with a trained chain; 0, 1 when a task is at fault, 2 for a table that cannot be read."""
    output = options.output.absolute()
    try:
        if not _has_packages(output, {"rows": 0}, "predict"):
            return 1
        predicting = importlib.import_module("modelyard_runner.training.predicting")
        return int(predicting.predict_table(options.chain.absolute(), options.table.absolute(), output))
    except PlanError as error:
        return _cannot_be_read(error)


def _has_packages(output: Path, result: dict[str, object], phase: str) -> bool:
    missing = [name for name in ("numpy", "pandas") if importlib.util.find_spec(name) is None]
    if not missing:
        return True
    message = f"tasks need the package {missing[0]}: add it to requirements.txt or change the environment"
    output.mkdir(parents=True, exist_ok=True)
    write_result(output, {**result, "error": fault(None, None, phase, message)})
    sys.stderr.write(f"{message}\n")
    return False


def _cannot_be_read(error: PlanError) -> int:
    sys.stderr.write(f"{error}\n")
    return CANNOT_BE_READ
