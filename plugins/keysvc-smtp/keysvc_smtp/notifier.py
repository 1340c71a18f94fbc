"""One mail for each event to all recipients; each recipient that was told is remembered until all are."""

from __future__ import annotations

import contextlib
import re
import smtplib
import ssl
import time
from collections import abc
from dataclasses import dataclass, field

from keysvc.plugin import Event, NotifierError, NotifierRefused, NotifierUnavailable
from keysvc_smtp.message import message
from keysvc_smtp.session import Server, Session, begin

SECONDS = 20.0
NOT_FOR_GOOD = frozenset({504, 552})
"""Replies of 5yz that the same mail may outlive: the name behind EHLO is not whole (Postfix), too many recipients at
once or a full mailbox (RFC 5321, 4.5.3.1.10)."""


_EHLO_HINT = "the server may want another name behind EHLO: add ehlo=NAME to the URL; the event is kept"


@dataclass(slots=True)
class _Progress:
    """Who has yet to be told of an event, and who was refused for good."""

    event_id: str
    waiting: tuple[str, ...]
    refused: dict[str, str] = field(default_factory=dict)


class MailNotifier:
    """Delivered means that the server took the mail for every recipient. A delivery takes `seconds` at most, behind
    the look-up of the name. One thread at a time may call it."""

    def __init__(
        self,
        server: Server,
        *,
        sender: str,
        recipients: abc.Sequence[str],
        system_id: str,
        seconds: float = SECONDS,
    ) -> None:
        self._server = server
        self._sender = sender
        self._recipients = tuple(recipients)
        self._system_id = system_id
        self._seconds = seconds
        self._progress: _Progress | None = None

    def __repr__(self) -> str:
        return f"MailNotifier({self._server.host}:{self._server.port})"

    def deliver(self, event: Event) -> None:
        """When the server takes some recipients and not others, the error says which; delivering the same event again
        goes to the others only, for as long as the process lives.

        Raises NotifierUnavailable (4yz, a refusal of the session, network, TLS, time-out), NotifierRefused (5yz of the
        mail, of a recipient or of the password)."""
        if self._progress is None or self._progress.event_id != event.event_id:
            self._progress = _Progress(event.event_id, self._recipients)
        self._tell(event, self._progress)
        self._progress = None

    def close(self) -> None:
        """Nothing is held."""

    def _tell(self, event: Event, progress: _Progress) -> None:
        put_off = self._send(event, progress)
        told = len(self._recipients) - len(put_off) - len(progress.refused)
        so_far = f"the mail server {self._server.host} took {told} of {len(self._recipients)} recipients"
        if put_off:
            raise NotifierUnavailable(f"{so_far} and put off {_list(put_off)}")
        if progress.refused:
            problem = f"{so_far} and refused {_list(progress.refused)}"
            progress.waiting, progress.refused = tuple(progress.refused), {}
            raise NotifierRefused(problem)

    def _send(self, event: Event, progress: _Progress) -> dict[str, str]:
        """Returns who was put off. Progress changes only when the mail was taken, or there was nobody to take it."""
        deadline = time.monotonic() + self._seconds
        content = message(event, self._system_id, self._sender, self._recipients).as_bytes()
        put_off: dict[str, str] = {}
        refused: dict[str, str] = {}
        begun = False
        try:
            with contextlib.closing(begin(self._server, deadline)) as session:
                begun = True
                _expect(session.mail(self._sender))
                for recipient in progress.waiting:
                    code, reply = session.rcpt(recipient)
                    if not 200 <= code < 300:
                        (refused if _is_for_good(code, reply) else put_off)[recipient] = _status(code, reply)
                if len(put_off) + len(refused) < len(progress.waiting):
                    _expect(session.data(content))
                _part(session)
        except OSError as error:  # smtplib's are all of this class
            raise self._problem(error, deadline, begun=begun) from None
        progress.waiting = tuple(put_off)
        progress.refused |= refused
        return put_off

    def _problem(self, error: OSError, deadline: float, *, begun: bool) -> NotifierError:
        """A server that refuses the session has not seen the mail: only a wrong password is not tried again."""
        where = f"the mail server {self._server.host}"
        if isinstance(error, smtplib.SMTPResponseException):
            reply = error.smtp_error if isinstance(error.smtp_error, bytes) else b""
            logging_in = isinstance(error, smtplib.SMTPAuthenticationError)
            told = f"{where} answered {'to log in ' if logging_in else ''}{_status(error.smtp_code, reply)}"
            if (begun or logging_in) and _is_for_good(error.smtp_code, reply):
                return NotifierRefused(told)
            return NotifierUnavailable(told, hint=_EHLO_HINT if error.smtp_code == 504 else None)
        return NotifierUnavailable(f"{where} cannot be used: {_why(error, late=time.monotonic() >= deadline)}")


def _is_for_good(code: int, reply: bytes) -> bool:
    """Whether the same mail would be refused again; an enhanced code of 4.x.x says that it need not be."""
    return 500 <= code < 600 and code not in NOT_FOR_GOOD and re.match(rb"4\.\d", reply) is None


def _expect(answer: tuple[int, bytes]) -> None:
    if not 200 <= answer[0] < 300:
        raise smtplib.SMTPResponseException(*answer)


def _part(session: Session) -> None:
    """The mail was taken: nothing that happens while parting changes that."""
    with contextlib.suppress(OSError):
        session.quit()


def _status(code: int, reply: bytes) -> str:
    """The reply code, and the enhanced one (RFC 3463) if there is one; never the server's own words."""
    enhanced = re.match(rb"[245]\.\d{1,3}\.\d{1,3}\b", reply)
    return f"{code} {enhanced[0].decode()}" if enhanced else f"{code}"


def _list(recipients: abc.Mapping[str, str]) -> str:
    return ", ".join(f"{recipient} ({status})" for recipient, status in recipients.items())


def _why(error: OSError, *, late: bool) -> str:
    """One line without the server's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if late or isinstance(error, TimeoutError):
        return "it took too long"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "it offers no STARTTLS" if "STARTTLS" in str(error) else "it offers no way to log in that we know"
    if isinstance(error, smtplib.SMTPException):
        return "the connection broke"
    return getattr(error, "reason", None) or error.strerror or "the connection broke"
