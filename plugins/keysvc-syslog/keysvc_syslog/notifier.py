"""One message for each event."""

from __future__ import annotations

import os
import socket
import ssl

from keysvc.plugin import Event, NotifierUnavailable
from keysvc_syslog.message import message
from keysvc_syslog.transports import Transport

SECONDS = 10.0


class SyslogNotifier:
    """What delivered means, the transport says. A delivery takes `seconds` at most, behind the look-up of the name. Any
    thread may call it."""

    def __init__(self, transport: Transport, *, facility: int, system_id: str, seconds: float = SECONDS) -> None:
        self._transport = transport
        self._facility = facility
        self._system_id = system_id
        self._seconds = seconds

    def __repr__(self) -> str:
        return f"SyslogNotifier({self._transport})"

    def deliver(self, event: Event) -> None:
        """Raises NotifierUnavailable: a syslog receiver refuses nothing."""
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
        except OSError as error:
            raise NotifierUnavailable(f"the syslog receiver {self._transport}: {_why(error)}") from None

    def close(self) -> None:
        """Nothing is held."""


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "it took too long"
    return getattr(error, "reason", None) or error.strerror or "the connection broke"
