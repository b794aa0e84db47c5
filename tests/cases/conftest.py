"""The runner's fixtures, for models that are served as they are."""

from tests.runner.conftest import start_runner, start_shared_runner

__all__ = ["start_runner", "start_shared_runner"]
