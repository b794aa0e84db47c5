"""``python -m benchmarks [NAME...] [--json FILE]``."""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from benchmarks import builds, csv_scoring, job_lists, jobs, lists, pulls, serving, startup, training, versions
from benchmarks.figures import Result, Skipped, save, show

BENCHMARKS: dict[str, Callable[[], list[Result]]] = {
    "startup": startup.measure,
    "lists": lists.measure,
    "versions": versions.measure,
    "pulls": pulls.measure,
    "builds": builds.measure,
    "csv": csv_scoring.measure,
    "jobs": jobs.measure,
    "training": training.measure,
    "job lists": job_lists.measure,
    "serving": serving.measure,
}


def main() -> int:
    """Runs the benchmarks that are named, or all, and shows each one's table at once."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures Modelyard beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to a file")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    results: list[Result] = []
    for name in asked.names or BENCHMARKS:
        print(f"{name} (load of the machine now: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs)", flush=True)
        try:
            found = BENCHMARKS[name]()
        except Exception as error:  # noqa: BLE001 # the others are measured all the same
            traceback.print_exc()
            found = [Skipped(name, f"failed: {type(error).__name__}: {error}")]
        show(found)
        print(flush=True)
        results += found
    if asked.json is not None:
        save(asked.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
