"""Everything that is wrong with one request, told at once."""

from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.kernel.errors import Invalid


class Problems:
    """Collects wrong fields from several checks and raises them as one ``Invalid``."""

    def __init__(self) -> None:
        self._errors: dict[str, str] = {}
        self._messages: list[str] = []
        self._extra: dict[str, object] = {}

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
        """Notes an ``Invalid`` that is raised inside, and goes on after the block."""
        try:
            yield
        except Invalid as error:
            self._extra |= error.extra
            if error.errors:
                self.update(error.errors)
            else:
                self._messages.append(error.message)

    def raise_all(self) -> None:
        if self._messages:
            raise Invalid("; ".join(self._messages), self._errors, extra=self._extra)
