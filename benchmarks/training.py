"""Training: what it costs beyond the work of the tasks, whether folds use all cores, what the cache saves."""

import random
import time

from tests.journeys.story import SCIKIT_LEARN
from tests.learning.builders import Bench

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import an_installation

ROWS, COLUMNS = 100_000, 20
REPETITIONS = 5
SPLIT = {"method": "tvh", "validationPct": 20, "holdoutPct": 20}

NOTHING = """
    def fit(X, y, output_dir, **kwargs):
        open(output_dir + "/nothing.txt", "w").close()

    def load_model(input_dir):
        return "model"

    def transform(X, transformer):
        return X
"""
CONSTANT = """
    import numpy as np
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        open(output_dir + "/nothing.txt", "w").close()

    def load_model(input_dir):
        return "model"

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": np.zeros(len(data))})
"""
WORK = "\n        sum(number * number for number in range(12_000_000))\n"
BUSY = CONSTANT.replace("\n\n    def load_model", f"{WORK}\n    def load_model")
SLOW = NOTHING.replace("open(output_dir", "import time; time.sleep(2); open(output_dir")


def measure() -> list[Result]:
    draw = random.Random(1)
    lines = [",".join(["y", *(f"x{number}" for number in range(COLUMNS))])]
    lines += [",".join(f"{draw.random():.6f}" for _ in range(COLUMNS + 1)) for _ in range(ROWS)]
    with an_installation() as installation:
        bench = Bench(installation.story.api, installation.story.environment(SCIKIT_LEARN))
        dataset = bench.a_dataset(lines)
        project = bench.a_project(target="y", datasetId=dataset, partitioning=SPLIT)
        constant = bench.a_task(CONSTANT, "Regression")

        def train(*tasks: str, **fields: object) -> float:
            start = time.perf_counter()
            bench.trained(fields.pop("project", project), *tasks, **fields)  # type: ignore[arg-type]
            return time.perf_counter() - start

        train(constant)
        (overhead,) = interleaved(REPETITIONS, lambda: train(constant))
        results: list[Result] = [
            Figure(f"a training of {ROWS:,} x {COLUMNS} rows whose fit does nothing", overhead, "s", 1)
        ]
        results += _cores(bench, dataset)
        slow = bench.a_task(SLOW, "Transform")
        first = train(slow, constant)
        (again,) = interleaved(3, lambda: train(slow, constant))
        results.append(
            Figure("a chain whose transform was fitted before", again, "s", 0.7, first, "the first time", of_ratio=True)
        )
    return results


def _cores(bench: Bench, dataset: str) -> list[Result]:
    """Five folds and the final fit, each a second or so of Python, beside the sum of what they took."""
    project = bench.a_project(target="y", datasetId=dataset, partitioning={"method": "cv", "folds": 5, "holdoutPct": 0})
    model = bench.trained(project, bench.a_task(BUSY, "Regression"))
    return [
        Figure(
            "five folds and the final fit",
            model["trainingSeconds"],
            "s",
            0.75,
            model["tasks"][0]["fitSeconds"],
            "one after the other",
            of_ratio=True,
        )
    ]
