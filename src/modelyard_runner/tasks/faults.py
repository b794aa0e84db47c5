"""What goes wrong in a task is told as one line, and as a traceback in the log."""

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from modelyard_runner.problems import LoadError, Refusal, describe, shortened

_RUNNER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")  # noqa: PTH118, PTH120, PTH100
_LEFT_BEHIND = 70

T = TypeVar("T")


class TaskError(Exception):
    """A task did something wrong; the message is one line for its author.

    `task` is its place in the chain and `phase` what it was doing (fit, transform or predict), where that is known.
    """

    def __init__(self, message: str, task: int | None = None, phase: str | None = None) -> None:
        super().__init__(message)
        line = shortened(" ".join(message.split()))
        self.message = line.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
        self.task = task
        self.phase = phase


def call_task(function: Callable[..., T], *arguments: Any, **keywords: Any) -> T:
    """Call code of a task; whatever it raises, even SystemExit, becomes a TaskError.

    A process that the code forked off and let return ends here: only one may go on with the work.
    """
    process = os.getpid()
    try:
        return function(*arguments, **keywords)
    except TaskError:
        raise
    except (LoadError, Refusal) as error:
        raise TaskError(error.message) from error
    except BaseException as error:
        sys.stdout.flush()
        traceback.print_exception(type(error), error, _of_the_task(error.__traceback__))
        raise TaskError(describe(error)) from error
    finally:
        if os.getpid() != process:
            os._exit(_LEFT_BEHIND)


def _of_the_task(trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback from the first line of code that is not the runner's; all of it where there is none."""
    first = trace
    while first is not None and first.tb_frame.f_code.co_filename.startswith((_RUNNER, "<frozen importlib")):
        first = first.tb_next
    return first or trace
