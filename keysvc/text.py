"""Decodes every file and stream of text that is read: passphrases, PINs, tokens, TOML, JSON, CSV."""

from __future__ import annotations

import codecs
import errno
import json
import os
from pathlib import Path
from typing import BinaryIO, Final

MOST_BYTES: Final = 512 * 2**20
"""Of any file that a person gives to a command; each reader has a limit of its own below it."""
MOST_TEXT: Final = 16 * 2**20
"""Bytes of a file of text that keysvc is configured with, or of a secret."""

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
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    raise NoText(f"line {line} is not UTF-8 text; save it as UTF-8")  # outside: the cause holds the bytes


def read_bytes(file: BinaryIO, at_most: int = MOST_BYTES) -> bytes:
    """Return what is left in an open file. Raises OSError, also for one without an end, as /dev/zero is."""
    content = file.read(at_most + 1)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


def read_text(path: Path) -> str:
    """Return the text of a file. Raises OSError, NoText."""
    with path.open("rb") as file:
        return decoded(read_bytes(file, MOST_TEXT)).replace("\r\n", "\n")


def repeats_a_name(document: str) -> bool:
    """Whether an object in this JSON has a name twice: readers differ in which of the two values counts."""

    class Repeated(Exception):
        """Ends the reading."""

    def once(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) < len(pairs):
            raise Repeated

    try:
        json.loads(document, object_pairs_hook=once)
    except Repeated:
        return True
    return False
