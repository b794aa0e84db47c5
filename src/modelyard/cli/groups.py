"""How every group of commands is made, so that all of them look alike."""

import sys
from typing import Annotated, Any

import typer

from modelyard.cli.errors import CommandError, ExitCode

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines; errors too, on stderr.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(
        help=help_text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        context_settings=CONTEXT,
    )


def name_argument(noun: str) -> Any:
    """The argument that names a resource, for commands that several kinds share."""
    return typer.Argument(help=f"The {noun}'s id or name.", show_default=False, metavar=noun)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something that cannot be undone; raises where there is nobody to ask, or the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("this cannot be undone, and there is nobody to ask", hint="add --yes", code=ExitCode.USAGE)
    if not typer.confirm(question, err=True):
        raise CommandError("nothing was done")
