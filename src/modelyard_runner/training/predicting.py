"""The command `predict`: all rows of a table, scored by a trained chain in blocks."""

import sys
from pathlib import Path

from modelyard_runner.models.backend import CHAIN_FILE
from modelyard_runner.problems import LoadError, Refusal
from modelyard_runner.tasks.chain import Chain, read_chain
from modelyard_runner.tasks.faults import TaskError
from modelyard_runner.training.outputs import block_rows, prediction_matrix
from modelyard_runner.training.results import fault, write_result
from modelyard_runner.training.tables import Table

PREDICTIONS_FILE = "predictions.bin"


def predict_table(chain_dir: Path, table_dir: Path, output: Path) -> int:
    """Write the predictions and the result; 0, or 1 with the reason in the result. Raises PlanError."""
    table = Table(table_dir)
    output.mkdir(parents=True, exist_ok=True)
    try:
        _score(chain_dir, table, output)
    except TaskError as error:
        return _failed(output, error.message, error.task, error.phase or "predict")
    except (LoadError, Refusal) as error:
        return _failed(output, error.message, None, "predict")
    write_result(output, {"rows": table.rows, "error": None})
    return 0


def _score(chain_dir: Path, table: Table, output: Path) -> None:
    specification = read_chain(chain_dir / CHAIN_FILE)
    known = set(table.names())
    names = [feature.name for feature in specification.features if feature.name in known]
    chain = Chain(specification)
    part = output / f"{PREDICTIONS_FILE}.part"
    with part.open("wb") as file:
        step = block_rows(specification.target)
        for first in range(0, table.rows, step):
            rows = slice(first, min(first + step, table.rows))
            predictions = chain.predict(table.frame(names, rows))
            file.write(prediction_matrix(specification.target, predictions).tobytes())
            sys.stdout.write(f"{rows.stop:,} of {table.rows:,} rows are scored\n")
    part.replace(output / PREDICTIONS_FILE)


def _failed(output: Path, message: str, task: int | None, phase: str) -> int:
    for name in (PREDICTIONS_FILE, f"{PREDICTIONS_FILE}.part"):
        (output / name).unlink(missing_ok=True)
    write_result(output, {"rows": 0, "error": fault(None, task, phase, message)})
    sys.stderr.write(f"{message}\n")
    return 1
