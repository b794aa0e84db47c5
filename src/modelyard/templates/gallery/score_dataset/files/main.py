"""Scores a dataset with a deployment and keeps the predictions."""

import csv
import io
import itertools
import os
from pathlib import Path
from urllib.parse import urlencode

from modelyard_api import ApiError, call

DEPLOYMENT = os.environ["DEPLOYMENT"]
DATASET = os.environ["DATASET"]
ROWS_PER_REQUEST = int(float(os.environ["ROWS_PER_REQUEST"]))
PASSTHROUGH_COLUMNS = [name.strip() for name in os.environ.get("PASSTHROUGH_COLUMNS", "").split(",") if name.strip()]


def main():
    target = Path(os.environ["MODELYARD_OUTPUT_DIR"], "predictions.csv")
    query = urlencode([("passthroughColumns", name) for name in PASSTHROUGH_COLUMNS])
    path = f"deployments/{DEPLOYMENT}/predictions" + (f"?{query}" if query else "")
    scored = 0
    with call("GET", f"datasets/{DATASET}/file/") as file, target.open("w", newline="") as out:
        rows = csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline=""))
        header = next(rows, None)
        if header is None:
            raise SystemExit(f"Dataset {DATASET} is empty.")
        while part := list(itertools.islice(rows, ROWS_PER_REQUEST)):
            out.write(score(path, header, part, scored, with_header=scored == 0))
            scored += len(part)
            print(f"{scored} rows scored", flush=True)
    print(f"The predictions are kept as {target.name} ({target.stat().st_size} bytes).")


def score(path, header, part, begin, *, with_header):
    """The predictions for one part, as lines of CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *part])
    try:
        with call("POST", path, text.getvalue().encode(), content_type="text/csv", accept="text/csv") as answer:
            lines = answer.read().decode()
    except ApiError as error:
        raise SystemExit(f"Rows {begin} to {begin + len(part) - 1} were not scored. {error}") from None
    return lines if with_header else lines[lines.index("\n") + 1 :]


main()
