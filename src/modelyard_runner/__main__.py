"""`python -m modelyard_runner serve|score ...`."""

import sys

from modelyard_runner.options import ServeOptions, parse
from modelyard_runner.scoring import score
from modelyard_runner.serving import end_process, run, serve


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    options = parse(sys.argv[1:])
    exit_code = run(serve(options)) if isinstance(options, ServeOptions) else score(options)
    end_process(exit_code)


if __name__ == "__main__":
    main()
