"""Scores a dataset with a deployment, and leaves the predictions as predictions.csv. Needs nothing but Python."""

import csv
import json
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

ENDPOINT = os.environ["MODELYARD_ENDPOINT"]
TOKEN = os.environ["MODELYARD_API_TOKEN"]
TIMEOUT_S = 300


class JobError(Exception):
    """Why there are no predictions."""


def ask(path: str, body: bytes | None = None, **headers: str) -> HTTPResponse:
    """Asks the API with the token of this run; raises JobError with what it answers to a refusal."""
    headers["Authorization"] = f"Bearer {TOKEN}"
    request = urllib.request.Request(f"{ENDPOINT}{path}", data=body, headers=headers)
    try:
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        raise JobError(f"{path} answered {error.code}: {error.read().decode(errors='replace')}") from error
    except urllib.error.URLError as error:
        raise JobError(f"{path} cannot be reached: {error.reason}") from error
    return answer


def rows_to_score(dataset: str, target: Path) -> Path:
    """The CSV of a dataset, by its id or exact name; the file beside this program where none is named."""
    if not dataset:
        return Path(__file__).with_name("customers.csv")
    with ask(f"/datasets/?{urllib.parse.urlencode({'searchFor': dataset})}") as answer:
        found = [each["datasetId"] for each in json.load(answer)["data"] if each["name"] == dataset]
    if len(found) > 1:
        raise JobError(f"{dataset!r} is the name of {len(found)} datasets; name the one by its id")
    dataset_id = found[0] if found else dataset
    with ask(f"/datasets/{urllib.parse.quote(dataset_id, safe='')}/file/") as answer, target.open("wb") as file:
        shutil.copyfileobj(answer, file)
    return target


def count_rows(table: Path) -> int:
    with table.open(encoding="utf-8", newline="") as lines:
        return sum(1 for _ in csv.DictReader(lines))


def main() -> None:
    deployment = os.environ.get("DEPLOYMENT", "")
    if not deployment:
        raise JobError("the parameter DEPLOYMENT is not set")
    table = rows_to_score(os.environ.get("DATASET", ""), Path("rows.csv"))
    print(f"Scoring {count_rows(table)} rows with deployment {deployment}", flush=True)
    predictions = Path(os.environ["MODELYARD_OUTPUT_DIR"]) / "predictions.csv"
    csv_type = {"Content-Type": "text/csv", "Accept": "text/csv"}
    path = f"/deployments/{urllib.parse.quote(deployment, safe='')}/predictions"
    with ask(path, table.read_bytes(), **csv_type) as answer, predictions.open("wb") as file:
        shutil.copyfileobj(answer, file)
    wanted, made = count_rows(table), count_rows(predictions)
    if made != wanted:
        raise JobError(f"{wanted} rows came back as {made} predictions")
    print(f"Kept {made} predictions in {predictions.name}")


if __name__ == "__main__":
    try:
        main()
    except JobError as error:
        sys.exit(f"error: {error}")
