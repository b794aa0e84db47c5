"""The serialized model of a code folder without `load_model`: found by its name, loaded by its library."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from modelyard_runner.models.hooks import call_user_code
from modelyard_runner.problems import LoadError, listing

PICKLES = {".pkl", ".pickle", ".joblib"}
XGBOOST_FILES = {".ubj", ".xgb"}
TORCH_FILES = {".pth", ".pt"}
# Files of models that only a load_model hook or an environment of their own can read.
FOREIGN = {".h5", ".keras", ".pmml", ".mojo", ".jar", ".rds"}
KNOWN = PICKLES | XGBOOST_FILES | TORCH_FILES | FOREIGN | {".onnx"}


def find_artifacts(code_dir: Path) -> list[Path]:
    """The serialized models in the root of a code folder.

    JSON files count when they hold an XGBoost learner, text files when they hold LightGBM trees.
    """
    return sorted(path for path in code_dir.iterdir() if path.is_file() and _is_artifact(path))


def _is_artifact(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return b'"learner"' in _beginning(path)
    if suffix == ".txt":
        return _beginning(path).startswith((b"tree\n", b"tree\r\n"))
    return suffix in KNOWN


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def load_artifact(code_dir: Path, *, required: bool) -> Any:
    """The one serialized model of a code folder, loaded; None when there is none and none is `required`.

    Raises LoadError naming the artifacts when there are several, when none is found, or when loading fails.
    """
    found = find_artifacts(code_dir)
    if not found and not required:
        return None
    if not found:
        raise LoadError(
            "There is nothing to serve: the code folder has neither a load_model or score hook in custom.py nor a "
            "serialized model (.pkl, .joblib, .onnx, .pth, .ubj, an XGBoost .json or a LightGBM .txt) at its root."
        )
    if len(found) > 1:
        names = [path.name for path in found]
        raise LoadError(f"There are several serialized models, {listing(names)}: write load_model in custom.py.")
    return call_user_code(f"Loading {found[0].name}", _load, found[0])


def _load(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        if importlib.util.find_spec("joblib") is not None:
            return importlib.import_module("joblib").load(path)
        with path.open("rb") as file:
            return importlib.import_module("pickle").load(file)
    if suffix in XGBOOST_FILES or suffix == ".json":
        # By content, not by name: by name XGBoost knows only .json and .ubj and logs a warning.
        return _library("xgboost", path).Booster(model_file=bytearray(path.read_bytes()))
    if suffix == ".txt":
        return _library("lightgbm", path).Booster(model_file=str(path))
    if suffix == ".onnx":
        return _library("onnxruntime", path).InferenceSession(str(path), providers=["CPUExecutionProvider"])
    if suffix in TORCH_FILES:
        return _load_torch(_library("torch", path), path)
    raise LoadError(f"{path.name} cannot be served as it is: write load_model and score in custom.py.")


def _load_torch(torch: Any, path: Path) -> Any:
    try:
        model = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError:
        model = torch.load(str(path), map_location="cpu", weights_only=False)
    if not callable(model):
        raise LoadError(f"{path.name} holds weights without a network: save the whole module, or write load_model.")
    model.eval()
    return model


def _library(name: str, path: Path) -> Any:
    if importlib.util.find_spec(name) is None:
        raise LoadError(f"{path.name} needs the package {name}: add it to requirements.txt or change the environment.")
    return importlib.import_module(name)
