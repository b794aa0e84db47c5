"""Loads the hooks and scripts of an example as the runner would: each as a module of its own."""

import importlib.util
import socket
import sys
from contextlib import closing
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import joblib
import pandas as pd

EXAMPLES = Path(__file__).parents[2] / "examples"
_numbers = count()


def load(path: Path) -> ModuleType:
    """Runs a Python file as a module that nothing else shares, and leaves the import path as it was."""
    spec = importlib.util.spec_from_file_location(f"example_{next(_numbers)}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import_path = list(sys.path)
    sys.modules.pop("custom", None)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = import_path
        sys.modules.pop("custom", None)
    return module


def free_port() -> int:
    """A port of this machine that nobody listens on just now."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Example:
    """One folder under examples/, served in this process in the documented order of the hooks."""

    def __init__(self, name: str) -> None:
        self.folder = EXAMPLES / name
        custom = self.folder / "custom.py"
        self.hooks: Any = load(custom) if custom.exists() else None
        if self.hooks is not None and hasattr(self.hooks, "load_model"):
            self.model = self.hooks.load_model(str(self.folder))
        else:
            self.model = joblib.load(self.folder / "model.joblib")

    def sample(self) -> pd.DataFrame:
        """The rows of sample.csv."""
        return pd.read_csv(self.folder / "sample.csv")

    def predict(self, data: pd.DataFrame, model: Any = None) -> pd.DataFrame:
        """Prepares and scores a table, with the folder's model unless another is given."""
        model = self.model if model is None else model
        if hasattr(self.hooks, "transform"):
            data = self.hooks.transform(data, model)
        if hasattr(self.hooks, "score"):
            data = self.hooks.score(data, model)
        elif hasattr(model, "predict_proba"):
            data = pd.DataFrame(model.predict_proba(data), columns=model.classes_, index=data.index)
        return data
