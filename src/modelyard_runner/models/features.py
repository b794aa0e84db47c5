"""Which columns of a frame a model takes, and in which order."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from modelyard_runner.problems import Refusal, listing


def is_sparse(data: Any) -> bool:
    """Whether something is a sparse matrix of scipy, which need not be installed."""
    return hasattr(data, "tocsr")


class FeatureColumns:
    """The columns a model was trained on: known by name, by a name that its library rewrote, or by position.

    `names` are those in the model, None where it knows none; `count` is how many it takes where that is known;
    `rewrite` is what the library does to the names it is given. With `is_positional` the names are the library's own,
    and are used only where the data has all of them.
    """

    def __init__(
        self,
        names: Sequence[Any] | None,
        count: int | None = None,
        *,
        rewrite: Callable[[str], str] | None = None,
        is_positional: bool = False,
    ) -> None:
        self.names = pd.Index([str(name) for name in names]) if names is not None else None
        self._count = count
        self._rewrite = rewrite
        self._is_positional = is_positional
        self._last: tuple[pd.Index, list[int] | None] | None = None

    def select(self, frame: Any) -> Any:
        """The model's columns of a frame only, in its order; a sparse matrix as it is.

        Raises Refusal 422 naming missing columns, or how many there are.
        """
        if is_sparse(frame):
            return frame
        columns = frame.columns
        if self._last is not None and (self._last[0] is columns or self._last[0].equals(columns)):
            places = self._last[1]
        else:
            places = self._places(columns)
            self._last = (columns, places)
        return frame if places is None else frame.iloc[:, places]

    def _places(self, columns: pd.Index) -> list[int] | None:
        names = self.names
        if names is None:
            self._check_count(columns)
            return None
        if columns.equals(names):
            return None
        given = [str(name) for name in columns]
        found = {name: place for place, name in enumerate(given)}
        if self._rewrite is not None:
            for place, name in enumerate(given):
                found.setdefault(self._rewrite(name), place)
        missing = [name for name in names if name not in found]
        if not missing:
            places = [found[name] for name in names]
            return None if places == list(range(len(given))) else places
        if self._is_positional:
            self._check_count(columns)
            return None
        raise Refusal(422, f"The data lacks the columns {listing(missing)}, which the model needs.")

    def _check_count(self, columns: pd.Index) -> None:
        if self._count is None or len(columns) == self._count:
            return
        given = listing([str(name) for name in columns])
        raise Refusal(
            422,
            f"The model was trained without column names and takes {self._count} columns in the order of its "
            f"training; the data has {len(columns)}: {given}.",
        )
