"""Says where in keysvc.toml a setting is wrong, and which one was meant."""

from __future__ import annotations

import difflib
import re
from collections import abc

import msgspec

from keysvc.errors import ConfigurationError


def explained(path: object, text: str, error: msgspec.ValidationError, known: abc.Iterable[type]) -> ConfigurationError:
    """Return the error about a setting, with its line. `known` has the settings of the file and of its tables."""
    said, _, place = str(error).partition(" - at `$")
    names = [name for name in re.split(r"\.|\[\.*\]|\[\d+\]", place.rstrip("`")) if name]
    unknown = re.search(r"unknown field `(.*)`", said)
    line = _line(text, [*names, unknown[1]] if unknown else names)
    where = f"{path} line {line}" if line else f"{path}"
    if unknown is None:
        return ConfigurationError(f"{where}: {error}")
    settings = [name for kind in known for name in kind.__struct_fields__]  # type: ignore[attr-defined]
    meant = difflib.get_close_matches(unknown[1], settings, 1, 0.6)
    hint = f"did you mean {meant[0]}?" if meant else "docs/reference/configuration.md lists the settings"
    return ConfigurationError(f"{where}: there is no setting {unknown[1]!r}", hint=hint)


def _line(text: str, names: abc.Sequence[str]) -> int | None:
    """Return the line of the last name, after those of the tables that it is in."""
    found, lines = None, text.splitlines()
    for name in names:
        here = re.compile(rf"^[^#]*(?<![\w-])[\"']?{re.escape(name)}[\"']?\s*(=|\]|\.)")
        at = next((number for number in range(found or 0, len(lines)) if here.match(lines[number])), None)
        found = at if at is not None else found
    return None if found is None else found + 1
