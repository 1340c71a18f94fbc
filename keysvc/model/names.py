"""How names are compared, and which new names are refused.

A name is stored as it was spelled. Two names are the same when their keys are: that is less than `str.casefold`, which
takes `weiß` and `weiss` for one account. Both rest on Unicode 14.0, whatever the interpreter knows, so that no upgrade
of Python makes two names one: see tests/support/name_tables.py.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import abc
from typing import Final

from keysvc.errors import InvalidInput
from keysvc.model.name_tables import LOWERED, REFUSED

MAXIMUM_LENGTH: Final = 256
"""In characters."""
_MAXIMUM_DECOMPOSED: Final = 4 * MAXIMUM_LENGTH
"""In characters: NFC makes at most four characters into one."""


def key(name: str, *, folded: bool = True) -> str:
    """Return what `name` is compared by: NFC and, `folded`, lower case.

    A character that no new name may hold stays as it is: the Kelvin sign does not become a k. A character becomes its
    lower case only if that is one character whose upper case is the first one again. A text that is too long for any
    name is its own key, because normalising takes time that grows with the square of its length.
    """
    if len(name) > _MAXIMUM_DECOMPOSED:
        return name
    if name.isascii():
        return name.lower() if folded else name
    normal = _normal(name)
    return _normal(normal.translate(_lower())) if folded else normal


def keys(names: abc.Iterable[str]) -> frozenset[str]:
    """Return the folded key of each name."""
    return frozenset(map(key, names))


def same(one: str, other: str) -> bool:
    """Whether two names have the same folded key."""
    return one == other or key(one) == key(other)


def check(what: str, name: str) -> None:
    """Raise InvalidInput unless something new may be called `name`. `what` it is, the message says."""
    if not 0 < len(name) <= MAXIMUM_LENGTH or name != name.strip():
        raise InvalidInput(
            f"{_called(what)} must be 1 to {MAXIMUM_LENGTH} printable characters without blanks around it"
        )
    if found := _refused().search(name):
        raise InvalidInput(
            f"{_called(what)} has U+{ord(found[0]):04X}, which is not printable or only another form of a character",
            hint=f"write it in printable characters of Unicode 14.0, at most {MAXIMUM_LENGTH}, in the form NFC",
        )


def check_account(what: str, name: str) -> None:
    r"""Raise InvalidInput unless there can be an account `name`: `anna`, `anna@nordwind.example`, `NORDWIND\anna`."""
    check(what, name)
    domain, separator, account = name.partition("\\")
    if any(character in name for character in "/;") or "\\" in account or (separator and not (domain and account)):
        raise InvalidInput(
            f"{_called(what)} is no account",
            hint="write ACCOUNT or DOMAIN\\ACCOUNT, with one backslash, no slash and no semicolon",
        )


def _called(what: str) -> str:
    return f"the name of the {what}"


def _normal(name: str) -> str:
    """NFC, between the characters that stay as they are."""
    if unicodedata.is_normalized("NFC", name):
        return name
    return "".join(
        part if at % 2 else unicodedata.normalize("NFC", part) for at, part in enumerate(_refused().split(name))
    )


@functools.cache
def _refused() -> re.Pattern[str]:
    """Match one refused character, as the only group."""
    ranges = (word.partition("-") for word in REFUSED.split())
    shown = "".join(f"\\U{int(first, 16):08x}-\\U{int(last or first, 16):08x}" for first, _, last in ranges)
    return re.compile(f"([{shown}])")


@functools.cache
def _lower() -> abc.Mapping[int, int]:
    """Map each upper-case character to its lower case."""
    found: dict[int, int] = {}
    for word in LOWERED.split():
        first, last, step, distance = re.fullmatch(r"(\w+)-(\w+)/(\d)([+-]\d+)", word).groups()  # type: ignore[union-attr]
        found.update((point, point + int(distance)) for point in range(int(first, 16), int(last, 16) + 1, int(step)))
    return found
