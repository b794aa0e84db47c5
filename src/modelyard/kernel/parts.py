"""The parts that an application is put together from, looked up by class."""

from typing import TypeVar, cast

T = TypeVar("T")


class Parts:
    """One object for each class: built once by ``app.py``, asked for by endpoints and operations through types."""

    def __init__(self) -> None:
        self._by_class: dict[type, object] = {}

    def add(self, class_: type[T], part: T) -> T:
        """Registers ``part`` as the one of ``class_`` (which may be a Protocol that it satisfies)."""
        self._by_class[class_] = part
        return part

    def get(self, class_: type[T]) -> T:
        """The part of ``class_``; a ``LookupError`` names a class that nobody added."""
        try:
            return cast("T", self._by_class[class_])
        except KeyError:
            raise LookupError(f"no part of class {class_.__name__} was put into this process") from None

    def bind(self, wanted: dict[str, type]) -> dict[str, object]:
        """Arguments by name for parameters by type."""
        return {name: self.get(class_) for name, class_ in wanted.items()}
