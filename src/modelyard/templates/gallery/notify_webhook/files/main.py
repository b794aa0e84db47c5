"""Posts the event that fired this run to a webhook."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

WEBHOOK_URL = os.environ.get("WEBHOOK_URL", "")
WEBHOOK_TOKEN = os.environ.get("WEBHOOK_TOKEN_API_TOKEN", "")


def main():
    event = read_event()
    text = event.get("message") or event["type"]
    print(f"{event['type']}: {text}", flush=True)
    if not WEBHOOK_URL:
        return
    headers = {"Content-Type": "application/json"}
    if WEBHOOK_TOKEN:
        headers["Authorization"] = f"Bearer {WEBHOOK_TOKEN}"
    request = urllib.request.Request(WEBHOOK_URL, json.dumps({"text": text, "event": event}).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            print(f"The webhook answered {answer.status}.")
    except urllib.error.URLError as error:
        sys.exit(f"The webhook could not be told: {error}")


def read_event():
    """The event that fired this run, or one that says that nothing did."""
    try:
        return json.loads(Path(os.environ["MODELYARD_EVENT_FILE"]).read_text("utf-8"))
    except FileNotFoundError:
        return {"type": "test", "message": "this run was started by hand, no event fired it"}


main()
