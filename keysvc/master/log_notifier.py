"""The embedded notifier, `log:`: an event is a line of the service's own log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from keysvc.errors import ConfigurationError
from keysvc.model import Severity
from keysvc.plugin.hookspecs import hookimpl
from keysvc.plugin.interfaces import Notifier, Opening, Register
from keysvc.plugin.logs import get_logger

if TYPE_CHECKING:
    from keysvc.model import Event

log = get_logger("keysvc.events")
LEVELS = {
    Severity.INFORMATIONAL: logging.INFO,
    Severity.NOTICE: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `log:`."""
    register("log", open_log, summary="a line of the service's own log for each event", options={})


def open_log(opening: Opening) -> Notifier:
    """Raises ConfigurationError when more than `log:` is given."""
    if opening.location.path:
        raise ConfigurationError("log: takes nothing behind the colon")
    return LogNotifier()


class LogNotifier:
    """Accepts everything: what reaches the log is delivered."""

    def deliver(self, event: Event) -> None:
        """One line."""
        level = LEVELS[event.severity]
        log.log(level, event.kind, event_id=event.event_id, at=event.at.isoformat(), detail=dict(event.detail))

    def close(self) -> None:
        """Nothing is held."""
