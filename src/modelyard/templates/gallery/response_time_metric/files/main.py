"""Reports the median response time of a deployment as a custom metric."""

import csv
import io
import itertools
import os
import statistics
import time
from datetime import UTC, datetime

from modelyard_api import call, send

DEPLOYMENT = os.environ["DEPLOYMENT"]
CUSTOM_METRIC = os.environ["CUSTOM_METRIC"]
DATASET = os.environ["DATASET"]
ROWS = int(float(os.environ["ROWS"]))


def main():
    times_ms = [measure(row) for row in first_rows()]
    if not times_ms:
        raise SystemExit(f"Dataset {DATASET} has no rows.")
    median_ms = statistics.median(times_ms)
    now = datetime.now(UTC).isoformat()
    bucket = {"value": median_ms, "timestamp": now, "sampleSize": len(times_ms)}
    send("POST", f"deployments/{DEPLOYMENT}/customMetrics/{CUSTOM_METRIC}/fromJSON/", {"buckets": [bucket]})
    print(f"{median_ms:.2f} ms over {len(times_ms)} requests, reported.")


def first_rows():
    """The first rows of the dataset, each as CSV with the header."""
    with call("GET", f"datasets/{DATASET}/file/") as file:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
        header = next(rows, [])
        for row in itertools.islice(rows, ROWS):
            text = io.StringIO(newline="")
            csv.writer(text).writerows([header, row])
            yield text.getvalue().encode()


def measure(row):
    """The milliseconds that one prediction takes."""
    begun = time.perf_counter()
    with call("POST", f"deployments/{DEPLOYMENT}/predictions", row, content_type="text/csv") as answer:
        answer.read()
    return (time.perf_counter() - begun) * 1000


main()
