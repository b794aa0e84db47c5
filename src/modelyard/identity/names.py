"""Names of users, groups and organizations: which are taken, and when two of them are the same."""

from typing import Final

from modelyard.kernel.texts import comparable, invisible_characters

MAX_CHARACTERS: Final = 255
"""Of a name, and of what is compared of it: a single character can stand for eighteen."""


def name_error(name: str) -> str | None:
    """Return what is wrong with a name, or None."""
    if found := invisible_characters(name):
        return f"must not hold control, format or invisible characters; got {', '.join(found[:5])}"
    if not comparable(name):
        return "must not be blank"
    if len(comparable(name)) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters when its ligatures are written out"
    return None
