"""Several tasks in one process: each imports its own modules, though all have a `custom.py`.

While a task's code runs, its folder is first on the import path and the modules it imported from there are in
`sys.modules`; afterwards they are taken out, so that the next task finds its own. Pickles of a task's classes name the
module `custom`, in training and in serving.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


class Scope:
    """The modules of one task. Entered from one thread at a time, never inside another scope."""

    def __init__(self, code_dir: Path) -> None:
        self._folder = str(code_dir)
        self._modules: dict[str, ModuleType] = {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What is imported inside is the task's own where its folder has it."""
        sys.path.insert(0, self._folder)
        sys.modules.update(self._modules)
        known = set(sys.modules)
        try:
            yield
        finally:
            if len(sys.modules) != len(known) or not self._modules:
                self._take_new(known - set(self._modules))
            for name in self._modules:
                sys.modules.pop(name, None)
            if self._folder in sys.path:
                sys.path.remove(self._folder)

    def _take_new(self, others: set[str]) -> None:
        for name, module in list(sys.modules.items()):
            if name not in others and (name == "custom" or self._is_own(module)):
                self._modules[name] = module

    def _is_own(self, module: ModuleType) -> bool:
        content = getattr(module, "__dict__", {})
        places = [content.get("__file__"), *(content.get("__path__") or ())]
        return any(str(place).startswith(self._folder + os.sep) for place in places if place)
