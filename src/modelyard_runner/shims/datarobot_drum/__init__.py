"""The import name by which published model code asks for its runtime parameters; the class is our own."""

from modelyard_runner.runtime_parameters import RuntimeParameters

__all__ = ["RuntimeParameters"]
