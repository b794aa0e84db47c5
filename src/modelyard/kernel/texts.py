"""Which characters a text that a client sent may hold, however it came."""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Final

UNSTORABLE: Final = "must not hold NUL characters or lone surrogates"
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef\u2800\ufffc\U0001d159]"
)
"""Default-ignorable code points (Unicode, DerivedCoreProperties.txt) of other categories than the above, and symbols
without ink: the blank Braille pattern, the object replacement character, the null notehead."""


_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def decoded(content: bytes, errors: str = "strict") -> str:
    """The text of a file: of the encoding that its byte order mark names, else UTF-8. The mark is no part of it.

    Windows PowerShell writes UTF-16 with a mark. Raises UnicodeDecodeError.
    """
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    return content.decode(encoding, errors)


def is_storable(text: str) -> bool:
    """Whether every database can hold the text, and UTF-8 can write it."""
    return _UNSTORABLE.search(text) is None


def all_storable(value: Any) -> bool:
    """Whether every text in a decoded JSON value is storable, keys of objects included; however deep it is nested."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            if not is_storable(part):
                return False
        elif isinstance(part, Mapping):
            waiting += part
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
    return True


def invisible_characters(text: str) -> list[str]:
    """The characters of a name that are not seen, or that change how others are shown, as ``U+202E``; each once."""
    found = (one for one in text if unicodedata.category(one) in _INVISIBLE_CATEGORIES or _INVISIBLE.match(one))
    return [f"U+{ord(one):04X}" for one in dict.fromkeys(found)]


def comparable(name: str) -> str:
    """What two names have in common that look the same or differ in case only (NFKC and full case folding).

    Folded between two normalizations, as the Unicode Standard defines NFKC_Casefold (section 3.13); blanks count once.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
