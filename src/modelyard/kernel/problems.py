"""Everything that is wrong with one request, told at once."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from modelyard.kernel.errors import Forbidden, Gone, Invalid, ModelyardError, NotFound, Unauthorized, Unread

log = logging.getLogger(__name__)


class Problems:
    """Collects wrong fields from several checks and raises them as one ``Invalid``."""

    def __init__(self) -> None:
        self._errors: dict[str, str] = {}
        self._messages: list[str] = []
        self._extra: dict[str, object] = {}
        self._unread: Unread | None = None

    def add(self, field: str, text: str) -> None:
        """Notes that ``field`` is wrong; of two texts for one field both are told."""
        self._errors[field] = f"{self._errors[field]}; {text}" if field in self._errors else text
        self._messages.append(f"{field}: {text}")

    def update(self, errors: dict[str, str]) -> None:
        for field, text in errors.items():
            self.add(field, text)

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong so far, by field."""
        return dict(self._errors)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Notes an ``Invalid`` that is raised inside, and goes on after the block.

        What the block was to find is there once ``raise_all`` has passed, and not before.
        """
        try:
            yield
        except Unread as error:
            self._unread = error
        except Invalid as error:
            self._extra |= error.extra
            if error.errors:
                self.update(error.errors)
            else:
                self._messages.append(error.message)

    def raise_all(self) -> None:
        """Raises all that was noted; if that is nothing, but a block wanted a field that was not read, ``Unread``."""
        if self._messages:
            raise Invalid("; ".join(self._messages), self._errors, extra=self._extra)
        if self._unread is not None:
            raise self._unread


@contextmanager
def refusing(faults: Mapping[str, str]) -> Iterator[None]:
    """Refuses a request with ``faults``, which may grow inside, together with all that the rules inside refuse.

    Of two texts for one field that of ``faults`` counts. A missing right or resource goes first; what its state would
    forbid is not told of a request that is wrong in itself. What else goes wrong inside comes of what was not read.
    """
    found: Invalid | None = None
    try:
        yield
    except (Unauthorized, Forbidden, NotFound, Gone):
        raise
    except ModelyardError as error:
        if not faults:
            raise
        found = error if isinstance(error, Invalid) and not isinstance(error, Unread) else None
    except Exception as error:
        if not faults:
            raise
        log.info("a request with faults was given up at a %s", type(error).__name__)
    if faults:
        errors = {**faults, **(found.errors if found else {}), **faults}
        told = [f"{field}: {text}" for field, text in errors.items()]
        if found and not found.errors:
            told.append(found.message)
        raise Invalid("; ".join(told), errors, extra=found.extra if found else None)
