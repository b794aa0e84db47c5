"""The functions of a model's `custom.py`. Source: contract/supporting-endpoints.md C.2 and C.3."""

import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from modelyard_runner.problems import LoadError, describe

Hook = Callable[..., Any]
SHIMS = Path(__file__).parent.parent / "shims"


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks that a `custom.py` defines; None for those it does not."""

    init: Hook | None = None
    load_model: Hook | None = None
    read_input_data: Hook | None = None
    transform: Hook | None = None
    score: Hook | None = None
    post_process: Hook | None = None
    score_unstructured: Hook | None = None

    @property
    def names(self) -> list[str]:
        """The names of the defined hooks."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


def read_hooks(code_dir: Path) -> Hooks:
    """Import `custom.py` from the code folder, with that folder first on the import path, and take its hooks.

    A folder without `custom.py` has no hooks. Raises LoadError when the import fails or a hook is not a function.
    """
    if str(code_dir) not in sys.path:
        sys.path.insert(0, str(code_dir))
    os.environ.setdefault("MODELYARD_CODE_DIR", str(code_dir))
    return hooks_of(call_user_code("importing custom.py", import_custom, code_dir))


def import_custom(code_dir: Path) -> ModuleType | None:
    """Import `custom.py` of a code folder as the module `custom`, in the place of any other; None when it has none.

    Raises LoadError for code that is not Python, and whatever the import raises.
    """
    if str(SHIMS) not in sys.path:
        sys.path.append(str(SHIMS))
    path = code_dir / "custom.py"
    if not path.is_file():
        if (code_dir / "custom.R").is_file():
            raise LoadError("custom.R needs an environment with R and its own start_server.sh.")
        return None
    spec = importlib.util.spec_from_file_location("custom", path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["custom"] = module
    spec.loader.exec_module(module)
    return module


def hooks_of(module: ModuleType | None) -> Hooks:
    """The hooks that a module defines. Raises LoadError when one is not a function."""
    found = {field.name: getattr(module, field.name, None) for field in fields(Hooks)}
    for name, hook in found.items():
        if hook is not None and not callable(hook):
            raise LoadError(f"{name} in custom.py is a {type(hook).__name__}; it has to be a function.")
    return Hooks(**found)


def call_user_code(what: str, function: Hook, *arguments: Any, **keywords: Any) -> Any:
    """Call code of the model while loading it; whatever it raises, even SystemExit, becomes a LoadError."""
    try:
        return function(*arguments, **keywords)
    except LoadError:
        raise
    except BaseException as error:  # a model that calls sys.exit() is reported like any other
        traceback.print_exc()
        raise LoadError(f"{what} failed: {describe(error)}") from error


def accepted_keywords(hook: Hook, offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the offered keyword arguments that a hook takes; all of them for one with `**kwargs`."""
    try:
        parameters = inspect.signature(hook).parameters
    except (TypeError, ValueError):
        return offered
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return offered
    return {name: value for name, value in offered.items() if name in parameters}
