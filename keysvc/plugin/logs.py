"""What keysvc says of itself: an event, and values by name, never in one text, so that no secret is formatted in by
accident and values can be filtered by. It goes through the standard library's `logging`, under the name `keysvc`."""

from __future__ import annotations

import json
import logging
import sys
from collections import abc
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_OURS = "keysvc"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}


@dataclass(frozen=True, slots=True)
class Line:
    """The message of a record. As text it is for handlers that know nothing of it."""

    event: str
    values: abc.Mapping[str, Any]

    def __str__(self) -> str:
        return self.event + self.shown_values()

    def shown_values(self) -> str:
        """For people; each behind a blank."""
        return "".join(f" {name}={_shown(value)}" for name, value in self.values.items())


@dataclass(frozen=True, slots=True)
class Log:
    """`event` is what happened, without values; `values` are never secret."""

    logger: logging.Logger

    def debug(self, event: str, **values: Any) -> None:
        """What only who looks for a fault wants to know."""
        self.log(logging.DEBUG, event, **values)

    def info(self, event: str, **values: Any) -> None:
        """What is as it should be."""
        self.log(logging.INFO, event, **values)

    def warning(self, event: str, **values: Any) -> None:
        """What somebody should look at some day."""
        self.log(logging.WARNING, event, **values)

    def error(self, event: str, **values: Any) -> None:
        """What somebody should look at now."""
        self.log(logging.ERROR, event, **values)

    def log(self, level: int, event: str, **values: Any) -> None:
        """At a level of `logging`."""
        self.logger.log(level, Line(event, values))


def get_logger(name: str) -> Log:
    """`name` begins with `keysvc.`; it is not shown, and tells loggers apart in tests and filters."""
    return Log(logging.getLogger(name))


def log_to_stderr() -> None:
    """One line an event: for people on a terminal, JSON elsewhere. What plugins warn of looks the same."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ForPeople() if sys.stderr.isatty() else _AsJSON())
    handler.addFilter(lambda record: isinstance(record.msg, Line) or record.levelno >= logging.WARNING)
    logging.getLogger().addHandler(handler)
    logging.getLogger(_OURS).setLevel(logging.INFO)


def log_nothing() -> None:
    """For commands that run an SSO server for a moment: its log is not what was asked for."""
    logging.getLogger(_OURS).setLevel(logging.CRITICAL)


class _AsJSON(logging.Formatter):
    """Tracebacks are not told: they may hold values."""

    def format(self, record: logging.LogRecord) -> str:
        line = _line(record)
        told = {**line.values, "event": line.event, "level": _level(record), "timestamp": _at(record)}
        return json.dumps(told, default=repr)


class _ForPeople(logging.Formatter):
    """As above."""

    def format(self, record: logging.LogRecord) -> str:
        line, level = _line(record), _level(record)
        event, values = " ".join(line.event.splitlines()), line.shown_values()
        return f"{_at(record)} [{_COLOURS.get(level, '')}{level:<8}{_PLAIN}] {_BOLD}{event:<30}{_PLAIN}{values}"


def _line(record: logging.LogRecord) -> Line:
    return record.msg if isinstance(record.msg, Line) else Line(record.getMessage(), {})


def _level(record: logging.LogRecord) -> str:
    return record.levelname.lower()


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() and " " not in value else repr(value)
