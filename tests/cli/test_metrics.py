"""Custom metrics by the command line alone."""

import json

from tests.cli.conftest import Terminal
from tests.cli.test_checks import PYTHON


def test_the_life_of_a_metric(modelyard: Terminal) -> None:
    modelyard.ok("model", "push", modelyard.a_model_folder("Measured"), "--env", PYTHON)
    modelyard.ok("deploy", "Measured", "--no-wait")
    assert modelyard.ok("metric", "list", "Measured").err.startswith("It has no metric: ")
    made = modelyard.ok("metric", "create", "Measured", "Saved", "--type", "sum", "--units", "CHF", "--baseline", "20")
    assert made.out.startswith("Made the metric Saved (")
    told = modelyard.ok("metric", "report", "Measured", "Saved", "12.5", "--at", "2026-01-05T09:00:00Z")
    assert told.out == "Reported 1 value of Saved.\n"
    (modelyard.folder / "values.csv").write_text(
        "value,timestamp,sampleSize\n7.5,2026-01-05T10:00:00Z,2\n10,2026-01-05T11:00:00+00:00,\n"
    )
    for _ in range(2):
        modelyard.ok("metric", "report", "Measured", "Saved", "--file", "values.csv", "--key", "once")
    values = json.dumps([{"value": 2, "timestamp": "2026-01-04T11:00:00Z"}])
    answer = modelyard.ok("metric", "report", "Measured", "Saved", "--file", "-", "--json", stdin=values)
    assert answer.json["reported"] == 1

    period = ("--start", "2026-01-05T00:00:00Z", "--end", "2026-01-06T00:00:00Z")
    shown = modelyard.ok("metric", "show", "Measured", "Saved", *period, "--bucket", "PT12H").out.splitlines()
    assert shown[4:] == [
        "Value        30 CHF",
        "Baseline     20 (+50.0 %)",
        "Before       2 (+1400.0 %)",
        "",
        "FROM                  VALUE  SAMPLES",
        "2026-01-05 00:00:00Z  30     4",
        "2026-01-05 12:00:00Z  -      0",
    ]
    found = modelyard.ok("metric", "show", "Measured", "Saved", *period, "--json").json
    assert (found["summary"]["metric"]["value"], len(found["valuesOverTime"]["buckets"])) == (30, 1)
    (listed,) = modelyard.ok("metric", "list", "Measured", "--json").json
    assert (listed["name"], listed["units"], listed["directionality"]) == ("Saved", "CHF", "higherIsBetter")
    assert modelyard.ok("metric", "list", "Measured").out.splitlines()[1].split()[1:] == [
        "Saved",
        "sum",
        "CHF",
        "higher",
        "deployment",
        "20",
    ]

    (modelyard.folder / "wrong.csv").write_text("value\n1\n")
    outcome = modelyard("metric", "report", "Measured", "Saved", "--file", "wrong.csv")
    assert (outcome.code, "no column timestamp" in outcome.err) == (2, True)
    assert modelyard("metric", "report", "Measured", "Saved").code == 2
    assert modelyard("metric", "report", "Measured", "Saved", "1", "--at", "tomorrow").code == 1
    assert modelyard("metric", "show", "Measured", "Nothing").code == 3
    assert modelyard.ok("metric", "delete", "Measured", "Saved", "--yes").out == "Deleted the metric Saved.\n"
    assert modelyard.ok("metric", "list", "Measured", "--json").json == []
    modelyard.ok("deployment", "delete", "Measured", "--yes")
