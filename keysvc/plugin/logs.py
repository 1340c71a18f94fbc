"""What keysvc says of itself: an event, and values by name, never in one text, so that no secret is formatted in by
accident and values can be filtered by. It goes through the standard library's `logging`, under the name `keysvc`."""

from __future__ import annotations

import atexit
import json
import logging
import os
import queue
import sys
import threading
import time
from collections import abc
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_OURS = "keysvc"
LONGEST_VALUE = 200
"""Of a text that somebody else chose."""
MAXIMUM_WAITING_LINES = 1000
REPEATED_SECONDS = 10.0
"""How long equal lines are counted before their number is written."""
END_SECONDS = 1.0
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


class Limited:
    """A log for what others cause: so many lines a second at most, their texts cut. What is left out is counted, and
    told with the next line. Thread-safe."""

    def __init__(self, log: Log, lines_a_second: int) -> None:
        self._log, self._most = log, lines_a_second
        self._lock = threading.Lock()
        self._second, self._lines, self._left_out = 0, 0, 0
        self._said: object = None

    def info_if_new(self, event: str, **values: Any) -> None:
        """As `info`, unless this method was last called with the same."""
        said = event, values
        if said != self._said:
            self._said = said
            self.info(event, **values)

    def info(self, event: str, **values: Any) -> None:
        """As `Log` does."""
        self.log(logging.INFO, event, **values)

    def error(self, event: str, **values: Any) -> None:
        """As `Log` does."""
        self.log(logging.ERROR, event, **values)

    def log(self, level: int, event: str, **values: Any) -> None:
        """As `Log` does."""
        with self._lock:
            now = int(time.monotonic())
            if now != self._second:
                self._second, self._lines = now, 0
            self._lines += 1
            if self._lines > self._most:
                self._left_out += 1
                return
            left_out, self._left_out = self._left_out, 0
        counted = {"lines_left_out": left_out} if left_out else {}
        self._log.log(level, event, **{name: _cut(value) for name, value in values.items()}, **counted)


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return value[:LONGEST_VALUE] + "…"
    return value


def get_logger(name: str) -> Log:
    """`name` begins with `keysvc.`; it is not shown, and tells loggers apart in tests and filters."""
    return Log(logging.getLogger(name))


def log_to_stderr() -> None:
    """One line an event: for people on a terminal, JSON elsewhere. What plugins warn of looks the same. Nobody waits
    until a line is written."""
    handler = _Queued(sys.stderr.fileno())
    atexit.register(handler.finish)
    handler.setFormatter(_ForPeople() if sys.stderr.isatty() else _AsJSON())
    handler.addFilter(lambda record: isinstance(record.msg, Line) or record.levelno >= logging.WARNING)
    logging.getLogger().addHandler(handler)
    logging.getLogger(_OURS).setLevel(logging.INFO)


def log_nothing() -> None:
    """For commands that run an SSO server for a moment: its log is not what was asked for."""
    logging.getLogger(_OURS).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A line that is to be written. Those with an equal `content` say the same."""

    content: object
    text: str
    record: logging.LogRecord


class _Queued(logging.Handler):
    """Writes lines in a thread of its own, which may wait for a full pipe or a terminal that was stopped. Lines that
    come while too many wait are dropped and counted; a line that repeats the one before is counted, not written."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(MAXIMUM_WAITING_LINES)
        self._dropped = 0
        self._last: _Waiting | None = None
        self._repeated, self._repeats_until = 0, 0.0
        self._thread = threading.Thread(target=self._write_on, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Never waits."""
        line = _line(record)
        try:
            content = record.levelno, line.event, line.shown_values()
            self._waiting.put_nowait(_Waiting(content, self.format(record), record))
        except queue.Full:
            self._dropped += 1
        except Exception:  # noqa: BLE001  as every handler of `logging` does
            self.handleError(record)

    def finish(self) -> None:
        """Write what waits, for a second at most. Repeatable."""
        deadline = time.monotonic() + END_SECONDS
        try:
            self._waiting.put(None, timeout=END_SECONDS)
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def _write_on(self) -> None:
        while True:
            left = self._repeats_until - time.monotonic() if self._repeated else None
            try:
                waiting = self._waiting.get(timeout=None if left is None else max(0.0, left))
            except queue.Empty:
                self._tell_repeated()
                continue
            if waiting is None:
                self._tell_repeated()
                return
            if self._last is not None and waiting.content == self._last.content:
                if not self._repeated:
                    self._repeats_until = time.monotonic() + REPEATED_SECONDS
                self._repeated += 1
                continue
            self._tell_repeated()
            self._last = waiting
            self._write(waiting.text)
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._tell("log lines were dropped: nobody read them in time", lines=dropped)

    def _tell_repeated(self) -> None:
        if self._repeated and self._last is not None:
            line, times = _line(self._last.record), self._repeated
            self._repeated = 0
            self._tell(line.event, self._last.record.levelno, **line.values, repeated=times)

    def _tell(self, event: str, level: int = logging.WARNING, **values: object) -> None:
        self._write(self.format(logging.LogRecord(_OURS, level, "", 0, Line(event, values), None, None)))

    def _write(self, text: str) -> None:
        rest = f"{text}\n".encode(errors="backslashreplace")
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:  # somebody else made it so
                time.sleep(0.1)
            except OSError:  # nobody will read it
                return


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
