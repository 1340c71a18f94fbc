"""Templates and the few things that they say of values."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined

from keysvc.model import utc_now


def ago(at: datetime | None) -> str:
    """How long ago it was, in one unit; or in how long it will be."""
    if at is None:
        return "never"
    seconds = (utc_now() - at).total_seconds()
    said = span(abs(seconds))
    return f"in {said}" if seconds < -1 else f"{said} ago"


def span(seconds: float) -> str:
    """A length of time, in one unit."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {unit}s"
    return f"{int(seconds)} s"


def when(at: datetime | None) -> str:
    """A time, in UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def count(number: int) -> str:
    """With thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def shell(text: str) -> str:
    """As one word of a POSIX shell."""
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else "'" + text.replace("'", "'\"'\"'") + "'"


def with_query(path: str, **given: str | int | None) -> str:
    """A path with those parameters that are given."""
    query = urlencode({name: value for name, value in given.items() if value not in {None, ""}})
    return f"{path}?{query}" if query else path


def what_and_hint(text: str) -> tuple[str, str]:
    """An alert of the system, and what to do about it."""
    what, _, hint = text.rpartition("; ")
    return (what, hint) if what else (hint, "")


def twice(text: str) -> tuple[str, str]:
    """As an option of a choice whose value is what it says."""
    return text, text


def first_two(option: tuple[str, tuple[str, str]]) -> tuple[str, str]:
    """A value with the first of its texts, as an option of a choice."""
    value, (label, _) = option
    return value, label


def made_environment() -> Environment:
    """Everything is escaped, and a name that is not there is an error."""
    environment = Environment(
        loader=PackageLoader("keysvc_console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(ago=ago, when=when, count=count, span=span, what_and_hint=what_and_hint)
    environment.filters.update(twice=twice, first_two=first_two)
    environment.globals["with_query"] = with_query
    return environment


ENVIRONMENT = made_environment()


def render(template: str, values: dict[str, Any]) -> str:
    """Return the page."""
    return ENVIRONMENT.get_template(template).render(values)
