"""What commands print: results on stdout, progress and notes on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from modelyard.cli.terminal import escaped_json

Column = tuple[str, str | Callable[[dict[str, Any]], Any]]
"""A heading, and where its value is: a key with dots, or a function of the entry."""


def print_json(value: Any) -> None:
    print(escaped_json(json.dumps(value, indent=2, ensure_ascii=False)))


def print_list(entries: Iterable[dict[str, Any]], columns: Sequence[Column], *, as_json: bool, nothing: str) -> None:
    """One line per entry below its headings; ``nothing`` says what to do where there is no entry."""
    found = list(entries)
    if as_json:
        print_json(found)
    elif not found:
        note(nothing)
    else:
        print_table(
            [heading for heading, _ in columns], [[_cell(entry, where) for _, where in columns] for entry in found]
        )


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them."""
    lines = [[heading.upper() for heading in headings], *rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(headings))]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def print_details(entry: dict[str, Any], rows: Sequence[Column], *, as_json: bool) -> None:
    """One line per property; what is empty is left out."""
    if as_json:
        print_json(entry)
        return
    shown = [(heading, _cell(entry, where)) for heading, where in rows]
    width = max(len(heading) for heading, _ in shown)
    for heading, text in shown:
        if text != "-":
            print(f"{heading.ljust(width)}  {text}")


def done(message: str, value: Any, *, as_json: bool) -> None:
    """A command's result: a sentence, or the JSON behind it."""
    if as_json:
        print_json(value)
    else:
        print(message)


def note(message: str) -> None:
    """Something to know beside the result."""
    print(message, file=sys.stderr, flush=True)


def show_time(text: str | None) -> str:
    """A moment of the wire, short and in UTC."""
    if not text:
        return "-"
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def show_size(size_bytes: int) -> str:
    """A number of bytes for people."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _cell(entry: dict[str, Any], where: str | Callable[[dict[str, Any]], Any]) -> str:
    value: Any = where(entry) if callable(where) else _dig(entry, where)
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return " ".join(str(value).split())


def _dig(entry: dict[str, Any], path: str) -> Any:
    value: Any = entry
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
