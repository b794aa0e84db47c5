"""How every group of commands is made, so that all of them look alike."""

from typing import Annotated, Any

import typer

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
