"""Runs commands of the runner, each in a fork of this process, which has imported what they need: for fast tests.

Reads lines of JSON {"arguments", "log", "errors"} and answers each with the exit code.
"""

import importlib
import json
import os
import sys

MODULES = ("sklearn.linear_model", "modelyard_runner.training.run", "modelyard_runner.training.predicting")


def run(asked: dict[str, str]) -> int:
    """Run one command; its exit code."""
    process = os.fork()
    if process == 0:
        for number, name in ((1, "log"), (2, "errors")):
            os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv[1:] = asked["arguments"]
        importlib.import_module("modelyard_runner.__main__").main()
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for module in MODULES:
        importlib.import_module(module)
    for line in sys.stdin:
        sys.stdout.write(f"{run(json.loads(line))}\n")
        sys.stdout.flush()
