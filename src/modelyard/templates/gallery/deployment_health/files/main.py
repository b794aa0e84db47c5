"""Fails when a deployment is in a bad state."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelyard_api import get

DEPLOYMENT = os.environ["DEPLOYMENT"]
FAIL_ON_WARNING = os.environ["FAIL_ON_WARNING"] == "true"
MAX_SILENT_HOURS = float(os.environ["MAX_SILENT_HOURS"])


def main():
    deployment = get(f"deployments/{DEPLOYMENT}/")
    health = deployment["serviceHealth"]["status"]
    last = deployment["predictionUsage"]["lastTimestamp"]
    faults = []
    if deployment["status"] != "active":
        faults.append(f"its status is {deployment['status']}")
    if health == "failing" or (health == "warning" and FAIL_ON_WARNING):
        faults.append(f"its service health is {health}")
    if MAX_SILENT_HOURS and is_silent(last):
        faults.append(f"it predicted nothing for {MAX_SILENT_HOURS:g} hours (the last time: {last or 'never'})")
    found = {"deployment": DEPLOYMENT, "status": deployment["status"], "serviceHealth": health, "lastPrediction": last}
    Path(os.environ["MODELYARD_OUTPUT_DIR"], "health.json").write_text(json.dumps(found | {"faults": faults}, indent=2))
    if faults:
        sys.exit(f"Deployment {deployment['label']} is in a bad state: {', and '.join(faults)}.")
    print(f"Deployment {deployment['label']} is well: {deployment['status']}, service health {health}.")


def is_silent(last):
    """Whether the last prediction was too long ago."""
    if last is None:
        return True
    age = datetime.now(UTC) - datetime.fromisoformat(last)
    return age > timedelta(hours=MAX_SILENT_HOURS)


main()
