"""The program inside a model's sandbox: loads the user's code and answers predictions on a socket."""

from modelyard_runner.runtime_parameters import RuntimeParameters

__all__ = ["RuntimeParameters"]
