"""What reaches a terminal: text that others wrote can colour it, and do nothing else to it.

``protect`` puts a ``SafeTerminal`` in place of standard output and error where they are terminals, so that everything a
command prints passes through it, logs and errors too. What goes to a file or a program is not changed.
"""

import codecs
import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO

RESET: Final = "\x1b[0m"
_SGR: Final = r"\x1b\[[0-9;:]{0,64}m"
_UNSAFE: Final = (
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # C0 but tab, line feed and carriage return; DEL; C1
    r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"  # line separators, direction of text, surrogates
)
_RETURN: Final = r"\r(?!\n)"
_TOKEN: Final = re.compile(rf"({_SGR})|(\n)|{_UNSAFE}")
_STRICT_TOKEN: Final = re.compile(rf"({_SGR})|(\n)|{_UNSAFE}|{_RETURN}")
_UNSAFE_CHARACTER: Final = re.compile(_UNSAFE)
_STRICT_UNSAFE_CHARACTER: Final = re.compile(rf"{_UNSAFE}|{_RETURN}")
_BEGUN: Final = re.compile(r"(\x1b(\[[0-9;:]{0,64})?|\r)\Z")
"""The beginning of a sequence or line end whose end may come with the next piece of text."""
_RESETS: Final = re.compile(r"\x1b\[0*m")


def visible(text: str) -> str:
    """``text`` with every control character, and what else changes how others are shown, as ``\\x1b`` or ``\\u202e``.

    Tabs, line feeds and the carriage returns before them stay.
    """
    return _STRICT_UNSAFE_CHARACTER.sub(lambda found: _escaped(found[0]), text)


def escaped_json(text: str) -> str:
    """A JSON document that means the same, without characters that a terminal acts on."""
    return _UNSAFE_CHARACTER.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class SafeTerminal(io.TextIOBase):
    """Writes to a terminal; of escape sequences only colours and styles (SGR) pass, to the end of their line.

    A carriage return would write a line anew over what we say in it, so that it passes before a line feed only, and
    within ``drawing_lines``.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.keeps_returns = False
        self._held = ""
        self._is_styled = False
        self._bytes = _SafeBytes(self)

    @property
    def buffer(self) -> "_SafeBytes":
        return self._bytes

    @property
    def encoding(self) -> str:  # type: ignore[override] # what is settable there is not here
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.stream.errors

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def flush(self) -> None:
        self.stream.flush()

    def write(self, text: str) -> int:
        whole = self._held + text
        begun = _BEGUN.search(whole)
        end = begun.start() if begun else len(whole)
        self._held = whole[end:]
        self.stream.write(self._safe(whole[:end]))
        return len(text)

    def finish(self) -> None:
        """Write what was held back, and end a style that is still on."""
        self.write_held()
        self.stream.write(RESET if self._is_styled else "")
        self._is_styled = False
        self.stream.flush()

    def write_held(self) -> None:
        """Write what was held back; nothing comes that would complete it."""
        held, self._held = self._held, ""
        self.stream.write(held if held == "\r" and self.keeps_returns else "".join(map(_escaped_if_unsafe, held)))

    def _safe(self, text: str) -> str:
        unsafe, token = (_UNSAFE_CHARACTER, _TOKEN) if self.keeps_returns else (_STRICT_UNSAFE_CHARACTER, _STRICT_TOKEN)
        if not self._is_styled and unsafe.search(text) is None:
            return text
        return token.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        style, line_end = found.groups()
        if style:
            self._is_styled = _RESETS.fullmatch(style) is None
            return style
        if line_end:
            was_styled, self._is_styled = self._is_styled, False
            return RESET + line_end if was_styled else line_end
        return _escaped(found[0])


class _SafeBytes(io.BufferedIOBase):
    """The ``buffer`` of a ``SafeTerminal``: bytes are read as UTF-8, and those that are none are shown escaped."""

    def __init__(self, terminal: SafeTerminal) -> None:
        self._terminal = terminal
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._terminal.write(self._decoder.decode(bytes(data)))
        return len(data)

    def flush(self) -> None:
        self._terminal.flush()


@contextmanager
def drawing_lines(stream: TextIO) -> Iterator[None]:
    """Let carriage returns pass: a log is printed, which may draw its progress anew in a line that is all its own."""
    if not isinstance(stream, SafeTerminal):
        yield
        return
    stream.keeps_returns = True
    try:
        yield
    finally:
        stream.write_held()
        stream.keeps_returns = False


def protect() -> None:
    """Put ``SafeTerminal`` in place of standard output and error, where they are terminals."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and stream.isatty() and not isinstance(stream, SafeTerminal):
            setattr(sys, name, SafeTerminal(stream))


def finish() -> None:
    """End every style that is still on."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, SafeTerminal):
            stream.finish()


def _escaped_if_unsafe(character: str) -> str:
    return _escaped(character) if character == "\r" or _UNSAFE_CHARACTER.match(character) else character


def _escaped(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
