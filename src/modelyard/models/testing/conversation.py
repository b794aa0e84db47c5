"""Talking to the model under test: tables in, predictions out, over the socket of its workload."""

import threading
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from modelyard.compute.unix_http import HttpAnswer, UnixConnection

PATH = "/v1/predictions"
UNSTRUCTURED_PATH = "/v1/predictionsUnstructured"


class ModelFailedError(Exception):
    """The model did not answer as it should; the text says how, for the user."""


@dataclass(frozen=True)
class Prediction:
    """One row's prediction: the label, number or text, and the values that come with it by label."""

    value: Any
    by_label: dict[str, float]


class Conversation:
    """Asks one server; each thread has a connection of its own."""

    def __init__(self, socket_path: Path, timeout_s: float) -> None:
        self._socket_path = socket_path
        self._timeout_s = timeout_s
        self._local = threading.local()

    def score_csv(self, table: pl.DataFrame) -> int:
        """Scores all rows at once as CSV, and returns how many came back. Raises ``ModelFailedError``."""
        answer = self._ask(table.write_csv().encode(), "text/csv; charset=utf-8", "text/csv")
        return max(0, answer.body.count(b"\n") - 1) if b'"' not in answer.body else _count_rows(answer.body)

    def score_rows(self, rows: list[dict[str, Any]]) -> list[Prediction]:
        """Scores rows as JSON. Raises ``ModelFailedError``, also when their number differs."""
        answer = self._ask(orjson.dumps(rows, default=str), "application/json", "application/json")
        data = orjson.loads(answer.body)["data"]
        if len(data) != len(rows):
            raise ModelFailedError(f"{len(rows)} rows were sent and {len(data)} predictions came back")
        return [
            Prediction(row["prediction"], {str(v["label"]): v["value"] for v in row.get("predictionValues", [])})
            for row in data
        ]

    def send_bytes(self, content: bytes, content_type: str) -> int:
        """Send bytes to an unstructured model; how many it answered. Raises ``ModelFailedError``."""
        return len(self._ask(content, content_type, "*/*", UNSTRUCTURED_PATH).body)

    def _ask(self, body: bytes, content_type: str, accept: str, path: str = PATH) -> HttpAnswer:
        headers = {
            "Content-Type": content_type,
            "Accept": accept,
            "X-Modelyard-Timeout-Ms": str(int(self._timeout_s * 1000)),
        }
        for is_last in (False, True):
            connection, is_new = self._connection()
            try:
                answer = connection.ask("POST", path, body, headers)
                break
            except (OSError, HTTPException) as error:
                connection.close()
                self._local.connection = None
                if is_last or is_new:
                    raise ModelFailedError(_gone(error, self._timeout_s)) from error
        if answer.status != 200:
            raise ModelFailedError(_message(answer))
        return answer

    def _connection(self) -> tuple[UnixConnection, bool]:
        kept = getattr(self._local, "connection", None)
        if kept is not None:
            return kept, False
        self._local.connection = UnixConnection(self._socket_path, self._timeout_s + 5)
        return self._local.connection, True


def _gone(error: Exception, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"the model did not answer within {timeout_s:g} s"
    return "the model went away while it worked on a request"


def _message(answer: HttpAnswer) -> str:
    try:
        return str(orjson.loads(answer.body)["message"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return f"the model answered {answer.status}: {answer.body[:500].decode('utf-8', 'replace')}"


def _count_rows(content: bytes) -> int:
    return pl.read_csv(content, infer_schema=False).height
