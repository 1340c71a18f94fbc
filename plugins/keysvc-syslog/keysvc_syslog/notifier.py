"""One message for each event."""

from __future__ import annotations

import os
import socket
import ssl

from keysvc.plugin import Event, NotifierRefused, NotifierUnavailable
from keysvc_syslog.message import message
from keysvc_syslog.transports import NotClosed, Transport

SECONDS = 10.0
WAITS = (60.0, 600.0)
"""Seconds before an event is sent again to a receiver that does not close the connection: it may have read it, or
be stopped. Thereafter the event is parked."""


class SyslogNotifier:
    """What delivered means, the transport says. A delivery takes `seconds` at most, behind the look-up of the name. Any
    thread may call it."""

    def __init__(self, transport: Transport, *, facility: int, system_id: str, seconds: float = SECONDS) -> None:
        self._transport = transport
        self._facility = facility
        self._system_id = system_id
        self._seconds = seconds
        self._not_closed = ("", 0)

    def __repr__(self) -> str:
        return f"SyslogNotifier({self._transport})"

    def deliver(self, event: Event) -> None:
        """Raises NotifierUnavailable; NotifierRefused when the receiver got the event three times and never closed."""
        made = message(
            event,
            self._system_id,
            facility=self._facility,
            hostname=socket.gethostname(),
            process_id=os.getpid(),
            limit=self._transport.limit,
        )
        try:
            self._transport.send(made, self._seconds)
        except NotClosed:
            raise self._not_closed_again(event) from None
        except OSError as error:
            raise NotifierUnavailable(f"the syslog receiver {self._transport}: {_why(error)}") from None

    def _not_closed_again(self, event: Event) -> NotifierUnavailable | NotifierRefused:
        event_id, times = self._not_closed
        times = times if event_id == event.event_id else 0
        self._not_closed = (event.event_id, times + 1)
        told = f"the syslog receiver {self._transport}: it took too long to close the connection behind the message"
        hint = "look whether it has the event; for a receiver that never closes, add receipt=none to the URL"
        if times < len(WAITS):
            return NotifierUnavailable(told, hint=hint, retry_after=WAITS[times])
        self._not_closed = ("", 0)
        return NotifierRefused(f"{told}, {times + 1} times", hint=hint)

    def close(self) -> None:
        """Nothing is held."""


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it took too long"
    return getattr(error, "reason", None) or error.strerror or "the connection broke"
