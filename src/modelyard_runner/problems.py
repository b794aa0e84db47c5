"""What can go wrong, as two exceptions: one stops the process, the other answers one request."""

import traceback

from modelyard_runner.masking import masked

MAX_MESSAGE_CHARACTERS = 2_000


class LoadError(Exception):
    """The model cannot be served; the message tells the model's author why."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = shortened(message)
        self.exit_code = exit_code


class Refusal(Exception):  # noqa: N818  an answer to a request, not an accident
    """A request that gets no prediction.

    `status` is an HTTP status and `message` the sentence the client reads, cut to `MAX_MESSAGE_CHARACTERS`;
    `retry_after_s` becomes the `Retry-After` header.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = shortened(message)
        self.retry_after_s = retry_after_s


class ModelFault(Refusal):
    """A request that the model is to blame for: its code raised, or what it returned is no prediction.

    Its status is 422; the gateway counts it, and the health of the deployment follows.
    """

    def __init__(self, message: str) -> None:
        super().__init__(422, message)


def shortened(message: str) -> str:
    """Return a message of at most `MAX_MESSAGE_CHARACTERS`, which ends with how much was cut."""
    if len(message) <= MAX_MESSAGE_CHARACTERS:
        return message
    kept = MAX_MESSAGE_CHARACTERS - 100
    return f"{message[:kept]}... (cut: {len(message) - kept} of {len(message)} characters are left out; see the log)"


def describe(error: BaseException) -> str:
    """`ValueError: could not convert ...`: the last line Python would print for an exception, secrets masked."""
    return masked("".join(traceback.format_exception_only(error)).strip())


def listing(names: "list[str] | tuple[str, ...]", most: int = 10) -> str:
    """Names in quotes for a message, cut after `most` of them."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def seconds(duration_s: float) -> str:
    """A time limit for a message; what was used of it on the way here does not show."""
    return f"{duration_s:.2g} s" if duration_s < 10 else f"{duration_s:.0f} s"
