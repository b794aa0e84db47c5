"""``modelyard``: finds the command, runs it, and tells how it ended."""

import importlib
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from modelyard.cli import terminal
from modelyard.cli.commands import COMMANDS, Entry
from modelyard.cli.errors import CommandError, ExitCode, near_matches, report
from modelyard.cli.groups import CONTEXT

HELP = """Push a folder with a model; get live predictions.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed.
"""


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are run; until then their registry entry stands for them."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | None:
        del ctx
        entry = COMMANDS.get(cmd_name)
        return TyperCommand(cmd_name, help=entry.help) if entry else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name = args[0]
        entry = COMMANDS.get(name)
        if entry is not None:
            return name, load(name, entry), args[1:]
        if ctx.resilient_parsing:
            return None, None, args[1:]
        near = near_matches(name, COMMANDS)
        hint = f"did you mean {' or '.join(near)}?" if near else "modelyard --help lists the commands"
        raise CommandError(f"there is no command {name!r}", hint=hint, code=ExitCode.USAGE)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        del ctx
        width = max(map(len, COMMANDS))
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values()):
            with formatter.section(panel):
                rows = [(name.ljust(width), each.help) for name, each in COMMANDS.items() if each.panel == panel]
                formatter.write_dl(rows)


def load(name: str, entry: Entry) -> Any:
    """Imports a command; raises ``CommandError`` where this installation lacks it."""
    module_name, _, attribute = entry.target.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not module_name.startswith(error.name or "?"):
            raise
        raise CommandError(f"this installation has no command {name!r} ({entry.target})") from error
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
        single.command(name, context_settings=CONTEXT)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(cls=LazyGroup, help=HELP, no_args_is_help=True, rich_markup_mode=None, context_settings=CONTEXT)


def _tell_version(wanted: bool) -> None:  # as Typer calls it
    if wanted:
        typer.echo(f"modelyard {importlib.metadata.version('modelyard')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    del version


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    as_json = "--json" in arguments
    try:
        result = typer.main.get_command(app)(list(arguments), prog_name="modelyard", standalone_mode=False)
    except CommandError as error:
        report(error, as_json=as_json)
        return error.code
    except typer.TyperException as error:
        if as_json or not hasattr(error, "show"):
            report(CommandError(error.format_message(), code=ExitCode.USAGE), as_json=as_json)
        else:
            error.show()
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = None
        return ExitCode.FAILED
    return result if isinstance(result, int) else ExitCode.DONE


def main() -> None:
    """The program ``modelyard``."""
    terminal.protect()
    try:
        code = run(sys.argv[1:])
    finally:
        terminal.finish()
    sys.exit(code)


if __name__ == "__main__":
    main()
