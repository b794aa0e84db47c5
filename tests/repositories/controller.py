"""A controller in a process of its own: ``python -m tests.repositories.controller SETTINGS``."""

import json
import sys
from typing import Any

from modelyard.app import build
from modelyard.kernel.settings import Settings


def main(settings: dict[str, Any]) -> None:
    build(Settings(**settings)).engine().run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
