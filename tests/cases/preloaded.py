"""Runs in the environment of the libraries: imports them once, then serves and asks models. Used by libraries.py.

Reads lines of JSON and answers each with a line of JSON. What models print goes to standard error.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

PRELOADED = ("xgboost", "lightgbm", "onnxruntime", "sklearn.pipeline", "pandas")


def serve(arguments: list[str], log: str) -> int:
    """Fork a runner; its process id."""
    process = os.fork()
    if process:
        return process
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.argv[1:] = arguments
    importlib.import_module("modelyard_runner.__main__").main()
    return 0


def ask(code_dir: str, options: list[str], bodies: list[str]) -> dict[str, Any]:
    """Load a model and ask it."""
    problems = importlib.import_module("modelyard_runner.problems")
    payloads = importlib.import_module("modelyard_runner.wire.payload")
    parse = importlib.import_module("modelyard_runner.options").parse
    backend = importlib.import_module("modelyard_runner.models.backend")
    sys.modules.pop("custom", None)
    chosen = parse(["score", "--code", code_dir, "--input", "-", *options]).model
    try:
        model = backend.load_model(Path(code_dir), chosen)
    except problems.LoadError as error:
        return {"error": error.message}
    answers: list[Any] = []
    for body in bodies:
        kind = b"application/json" if body[:1] in {"[", "{"} else b"text/csv"
        try:
            found = model.predict(model.frame_of(payloads.read_payload(body.encode(), kind)))
        except problems.Refusal as refusal:
            answers.append(f"{refusal.status} {refusal.message}")
        else:
            answers.append([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    return {"answers": answers}


def answer(question: dict[str, Any]) -> Any:
    if "serve" in question:
        return serve(question["serve"], question["log"])
    if "load" in question:
        return ask(question["load"], question["options"], question["bodies"])
    training = importlib.import_module("training")
    if "make" in question:
        getattr(training, question["make"])(Path(question["folder"]))
        return None
    return getattr(training, question["reference"])(Path(question["folder"]), question["rows"])


def main() -> None:
    """Answer until there are no more questions."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pipe = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, str(Path(__file__).parent))
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        try:
            reply = {"answer": answer(json.loads(line))}
        except Exception:  # noqa: BLE001  the test that asked shows it
            reply = {"failure": traceback.format_exc()}
        pipe.write(json.dumps(reply) + "\n")
        pipe.flush()


if __name__ == "__main__":
    main()
