"""The encodings that text files come in."""

import pytest

from modelyard.kernel.texts import decoded

TEXT = "näme: 1\r\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_the_byte_order_mark_names_the_encoding(encoding: str) -> None:
    assert decoded(TEXT.encode(encoding)) == TEXT
    for name in ("utf-16", "utf-32"):
        assert decoded(("\ufeff" + TEXT).encode(f"{name}-be")) == TEXT


def test_what_is_no_text_is_refused() -> None:
    for content in (b"n\xe4me", "\ufeffa".encode("utf-16-le") + b"\0"):
        with pytest.raises(UnicodeDecodeError):
            decoded(content)
    assert decoded(b"n\xe4me", "replace") == "n\ufffdme"
