"""Decodes every file and stream of text that is read: passphrases, PINs, tokens, TOML, JSON, CSV."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

_MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""In this order: the mark of UTF-32 begins with that of UTF-16."""


class NoText(ValueError):
    """Bytes are not text in UTF-8. The message says what they are and never shows them."""


def decoded(content: bytes) -> str:
    """Return the text without its byte order mark, if it has one. Raises NoText."""
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            raise NoText(f"it is {name}; save it as UTF-8")
    if b"\0" in content[:4]:
        raise NoText("it is UTF-16 or binary; save it as UTF-8")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError:
        pass
    raise NoText("it is not UTF-8 text; save it as UTF-8")  # outside: the cause holds the bytes


def read_text(path: Path) -> str:
    """Return the text of a file. Raises OSError, NoText."""
    return decoded(path.read_bytes()).replace("\r\n", "\n")
