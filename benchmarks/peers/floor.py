"""What no server can go below: the same work in one process, without one. Runs with the Python of the model's image.

``floor.py rows SECONDS < bodies.json`` prints the median milliseconds of JSON → DataFrame → predict_proba → JSON.
``floor.py table FILE`` prints the milliseconds of CSV → DataFrame → predict → CSV, and the bytes of the answer.
"""

import io
import json
import sys
import time
from pathlib import Path

import pandas as pd
from model import fit_classifier, fit_regression


def single_rows(bodies: list[str], seconds: float) -> float:
    """The median time of one row, in milliseconds."""
    model = fit_classifier()
    times: list[float] = []
    until = time.perf_counter() + seconds
    while (start := time.perf_counter()) < until:
        frame = pd.DataFrame(json.loads(bodies[len(times) % len(bodies)]))
        json.dumps(model.predict_proba(frame).tolist())
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1000


def table(path: Path) -> tuple[float, int]:
    """The time of a whole table in milliseconds, with its bytes already in memory, and the size of the answer."""
    model = fit_regression()
    body = path.read_bytes()
    start = time.perf_counter()
    frame = pd.read_csv(io.BytesIO(body))
    answer = pd.DataFrame({"prediction": model.predict(frame)}).to_csv(index=False).encode()
    return (time.perf_counter() - start) * 1000, len(answer)


if __name__ == "__main__":
    if sys.argv[1] == "rows":
        print(json.dumps(single_rows(json.load(sys.stdin), float(sys.argv[2]))))
    else:
        print(json.dumps(table(Path(sys.argv[2]))))
