"""Decoding what comes from outside, with msgspec.

It learns a class when it first converts to it; two threads that do so at the same time crash the process.
"""

from __future__ import annotations

import threading
from typing import Final, TypeVar

import msgspec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes from outside: no JSON, of other types, no Unicode, or nested too deeply."""

NO_TOML: Final = (ValueError, RecursionError)
"""What `tomllib` raises: TOMLDecodeError is a ValueError, as is what it says to a number of 5,000 digits."""

_Kind = TypeVar("_Kind")

_known: set[type] = set()
_learning = threading.Lock()


def described(kind: type[_Kind]) -> type[_Kind]:
    """The same class, which msgspec knows by now, with all that it is made of. Every class that is decoded into, or
    converted to, is asked for by this. Thread-safe."""
    if kind not in _known:
        with _learning:
            msgspec.json.Decoder(kind)
            _known.add(kind)
    return kind
