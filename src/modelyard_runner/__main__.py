"""`python -m modelyard_runner serve|score|train|predict ...`."""

import importlib
import os
import sys

from modelyard_runner.options import Options, PredictOptions, ScoreOptions, TrainOptions, parse


def main() -> None:
    """Run the command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):  # whole lines, or those of fits that run side by side would mix
        stream.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    end_process(_run(parse(sys.argv[1:])))


def _run(options: Options) -> int:
    """Run one command; what the others need is not imported."""
    match options:
        case TrainOptions():
            return int(importlib.import_module("modelyard_runner.training.command").train(options))
        case PredictOptions():
            return int(importlib.import_module("modelyard_runner.training.command").predict(options))
        case ScoreOptions():
            return int(importlib.import_module("modelyard_runner.scoring").score(options))
    serving = importlib.import_module("modelyard_runner.serving")
    return int(serving.run(serving.serve(options)))


def end_process(exit_code: int) -> None:
    """End at once: a model's thread that hangs, or threads that its libraries left, must not hold the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    main()
