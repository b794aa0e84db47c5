"""Errors that a client sees: each class is one HTTP status, raised anywhere, answered in one place (kernel/http.py)."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, Self

MAX_SHOWN_LINKS: Final = 5
"""In a message for people."""


class ModelyardError(Exception):
    """An error with a status, a message for the client and, where fields are to blame, one text per field."""

    status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        errors: Mapping[str, str] | None = None,
        *,
        extra: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.errors = dict(errors or {})
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The JSON object that the client gets: ``message``, ``errors`` where there are any, and extras."""
        body: dict[str, object] = {"message": self.message}
        if self.errors:
            body["errors"] = self.errors
        return body | self.extra


class BadRequest(ModelyardError):  # noqa: N818
    status = 400


class Unauthorized(ModelyardError):  # noqa: N818
    status = 401


class Forbidden(ModelyardError):  # noqa: N818
    """The caller may see the resource but not do this."""

    status = 403


class NotFound(ModelyardError):  # noqa: N818
    """There is no such resource, or the caller may not see it."""

    status = 404


class Conflict(ModelyardError):  # noqa: N818
    """The state of the resource does not allow this."""

    status = 409

    @classmethod
    def with_links(cls, text: str, links: Sequence[str], **ids: Sequence[str]) -> Self:
        """Say what has to be changed first: the message ends with the first links, and the answer has all of them."""
        extra = {"link": links[0], "links": links, **ids}
        return cls(f"{text}: {', '.join(links[:MAX_SHOWN_LINKS])}", extra=extra)


class Gone(ModelyardError):  # noqa: N818
    """The resource was deleted, or the way to do this was withdrawn."""

    status = 410


class TooLarge(ModelyardError):  # noqa: N818
    status = 413


class Invalid(ModelyardError):  # noqa: N818
    """The client's input is wrong. ``errors`` holds every wrong field at once."""

    status = 422


class Unread(Invalid):
    """A rule asked for a field that could not be read: it cannot be checked, and the field's own fault says enough."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} could not be read")


class Unavailable(ModelyardError):  # noqa: N818
    """Right now nothing can answer; the client may try again."""

    status = 503


def raise_all(errors: Mapping[str, str]) -> None:
    """Raises one ``Invalid`` for all fields that are wrong, if there are any."""
    if errors:
        raise Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)


def invalid(**errors: str) -> Invalid:
    """An ``Invalid`` whose message names the fields, for checks outside a wire type."""
    return Invalid("; ".join(f"{field}: {text}" for field, text in errors.items()), errors)
