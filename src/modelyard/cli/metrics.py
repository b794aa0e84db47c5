"""``modelyard metric``: what you measure about a deployment yourself."""

import csv
import io
import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import DEPLOYMENT, Kind, find
from modelyard.cli.screen import Column, done, plural, print_details, print_json, print_list, show_time

app = group("Custom metrics: measure a deployment your own way.")

Deployment = Annotated[str, typer.Argument(help="The deployment's id or label.", show_default=False)]
Metric = Annotated[str, typer.Argument(help="The metric's id or name.", show_default=False)]
MOST_AT_ONCE = 10_000


class Type(StrEnum):
    AVERAGE = "average"
    GAUGE = "gauge"
    SUM = "sum"


class Better(StrEnum):
    HIGHER = "higher"
    LOWER = "lower"


@app.command("list")
def list_metrics(
    deployment: Deployment,
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the custom metrics of a deployment."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("type", "type"),
        ("units", "units"),
        ("better", lambda one: one["directionality"].removesuffix("IsBetter")),
        ("of", lambda one: "model" if one["isModelSpecific"] else "deployment"),
        ("baseline", lambda one: _number(_baseline(one))),
    ]
    listed = api.pages(_kind(found).path, search=search, orderBy="name")
    nothing = f"It has no metric: modelyard metric create {found['label']!r} NAME"
    print_list(listed, columns, as_json=as_json, nothing=nothing)


@app.command()
def create(
    deployment: Deployment,
    name: Annotated[str, typer.Argument(help="What the metric is called.", show_default=False)],
    units: Annotated[str, typer.Option(help="What it is counted in.")] = "value",
    metric_type: Annotated[
        Type, typer.Option("--type", help="How values of one time add up.", case_sensitive=False)
    ] = Type.AVERAGE,
    better: Annotated[Better, typer.Option(help="Which way is better.", case_sensitive=False)] = Better.HIGHER,
    model: Annotated[bool, typer.Option("--model", help="Measure each model apart, not the deployment.")] = False,
    baseline: Annotated[float | None, typer.Option(help="What to compare with.")] = None,
    description: Annotated[str | None, typer.Option(help="What it tells.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a custom metric."""
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    body: Json = {
        "name": name,
        "units": units,
        "type": metric_type.value,
        "directionality": f"{better.value}IsBetter",
        "isModelSpecific": model,
        "description": description,
        "baselineValues": [] if baseline is None else [{"value": baseline}],
    }
    made = api.post(_kind(found).path, body)
    done(f"Made the metric {name} ({made['id']}) of {found['label']}.", made, as_json=as_json)


@app.command()
def report(
    deployment: Deployment,
    metric: Metric,
    value: Annotated[float | None, typer.Argument(help="The value; or --file.", show_default=False)] = None,
    at: Annotated[str | None, typer.Option(help="When, as 2026-01-31T12:00:00Z; else now.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many samples are behind the value.")] = 1,
    file: Annotated[
        str | None, typer.Option(help="Values of a CSV or JSON file: value, timestamp, sampleSize. - is stdin.")
    ] = None,
    package: Annotated[str | None, typer.Option(help="Model package id of the model; else the present one.")] = None,
    key: Annotated[str | None, typer.Option(help="A report with a key counts once, however often it is sent.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report values of a custom metric."""
    if (value is None) == (file is None):
        raise CommandError(
            "name either a value or a file with values",
            hint="modelyard metric report DEPLOYMENT METRIC 12.5",
            code=ExitCode.USAGE,
        )
    values = _values_of(file) if file is not None else [_one(value, at, samples)]
    api = connect()
    found = find(api, DEPLOYMENT, deployment)
    kind = _kind(found)
    chosen = find(api, kind, metric)
    for begin in range(0, len(values), MOST_AT_ONCE):
        body: Json = {"buckets": values[begin : begin + MOST_AT_ONCE]}
        if package is not None:
            body["modelPackageId"] = package
        headers = {"Idempotency-Key": f"{key}/{begin}" if begin else key} if key is not None else {}
        api.request("POST", f"{kind.path}{chosen['id']}/fromJSON/", json=body, headers=headers)
    sentence = f"Reported {plural(len(values), 'value')} of {chosen['name']}."
    done(sentence, {"id": chosen["id"], "reported": len(values)}, as_json=as_json)


@app.command()
def show(
    deployment: Deployment,
    metric: Metric,
    start: Annotated[str | None, typer.Option(help="From when, as 2026-01-31T00:00:00Z; else 7 days ago.")] = None,
    end: Annotated[str | None, typer.Option(help="Until when; else now.")] = None,
    bucket: Annotated[str, typer.Option(help="How long each line is: PT1H, P1D, P7D, P1M.")] = "P1D",
    package: Annotated[str | None, typer.Option(help="Model package id of the model; else the present one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a custom metric, now and over time.

    Its value is compared with its baseline and with the time before.
    """
    api = connect()
    kind = _kind(find(api, DEPLOYMENT, deployment))
    found = find(api, kind, metric)
    path = f"{kind.path}{found['id']}/"
    query = {"start": start, "end": end, "modelPackageId": package}
    summary = api.get(f"{path}summary/", **query)
    series = api.get(f"{path}valuesOverTime/", bucketSize=bucket, **query)
    if as_json:
        print_json(found | {"summary": summary, "valuesOverTime": series})
        return
    rows: list[Column] = [
        ("Metric", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Type", "type"),
        ("Better", lambda one: one["directionality"].removesuffix("IsBetter")),
        ("Value", lambda _: _with_units(summary["metric"]["value"], found["units"])),
        ("Baseline", lambda _: _against(summary["metric"]["baselineValue"], summary["metric"]["percentChange"])),
        (
            "Before",
            lambda _: _against(summary["metric"]["previousValue"], summary["metric"]["percentChangeFromPrevious"]),
        ),
    ]
    print_details(found, rows, as_json=False)
    print()
    columns: list[Column] = [
        ("from", lambda one: show_time(one["period"]["start"])),
        ("value", lambda one: _number(one["value"])),
        ("samples", "sampleSize"),
    ]
    print_list(series["buckets"], columns, as_json=False, nothing="Nothing was reported.")


@app.command()
def delete(deployment: Deployment, metric: Metric, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a custom metric with everything that was reported for it."""
    api = connect()
    kind = _kind(find(api, DEPLOYMENT, deployment))
    found = find(api, kind, metric)
    confirm(f"Delete the metric {found['name']} and its values?", yes=yes)
    api.delete(f"{kind.path}{found['id']}/")
    done(f"Deleted the metric {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


def _kind(deployment: Json) -> Kind:
    path = f"{DEPLOYMENT.path}{deployment['id']}/customMetrics/"
    return Kind("metric", path, "name", command=f"metric list {deployment['id']}")


def _one(value: float | None, at: str | None, samples: int) -> Json:
    return {"value": value, "timestamp": at or datetime.now(UTC).isoformat(), "sampleSize": samples}


def _values_of(name: str) -> list[Any]:
    """The values that a file holds: JSON for ``[``, else CSV with a heading."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}", code=ExitCode.USAGE) from error
    try:
        values = json.loads(text) if text.lstrip().startswith("[") else _rows(text)
    except ValueError as error:
        raise CommandError(f"{name} is neither JSON nor CSV with values: {error}", code=ExitCode.USAGE) from error
    if not values:
        raise CommandError(f"{name} holds no value", code=ExitCode.USAGE)
    return list(values)


def _rows(text: str) -> list[Json]:
    reader = csv.DictReader(io.StringIO(text))
    missing = {"value", "timestamp"} - set(reader.fieldnames or [])
    if missing:
        raise ValueError(f"it has no column {' and no column '.join(sorted(missing))}")
    return [
        {"value": float(row["value"]), "timestamp": row["timestamp"], "sampleSize": int(row.get("sampleSize") or 1)}
        for row in reader
    ]


def _baseline(metric: Json) -> float | None:
    return metric["baselineValues"][0]["value"] if metric["baselineValues"] else None


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def _with_units(value: float | None, units: str) -> str:
    return "nothing was reported" if value is None else f"{_number(value)} {units}"


def _against(reference: float | None, change: float | None) -> str | None:
    if reference is None:
        return None
    return _number(reference) if change is None else f"{_number(reference)} ({change:+.1f} %)"
