"""One session with a mail server: bounded in time and size, TLS before anything worth reading, one try to log in."""

from __future__ import annotations

import io
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from keysvc.plugin import ConfigurationError, SecretText
from keysvc_smtp.own_name import own_name

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAXIMUM_REPLY_BYTES = 64 * 1024
"""Of all replies between two changes of the connection, together."""
MECHANISMS = ("PLAIN", "LOGIN")


class Security(StrEnum):
    """How a connection is protected. The values are those of the option `starttls`."""

    TLS = "tls"
    STARTTLS = "required"
    NONE = "no"


@dataclass(frozen=True, slots=True)
class Login:
    """Who sends."""

    user: str
    password: SecretText


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server and how to speak with it."""

    host: str
    port: int
    security: Security
    context: ssl.SSLContext
    login: Login | None = None
    greeting: str = ""
    """What EHLO says; this machine's full name or its address unless given."""


class Session(smtplib.SMTP):
    """Connected on construction. Every reply comes before `deadline` (of time.monotonic) or the connection counts as
    broken, however slowly the bytes drip in. Raises smtplib.SMTPException and OSError."""

    def __init__(self, server: Server, deadline: float) -> None:
        self.deadline = deadline
        super().__init__(server.host, server.port, server.greeting or "localhost", timeout=_left(deadline))

    def getreply(self) -> tuple[int, bytes]:
        """As smtplib's, from a reader with bounds."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Replies(self.sock, self.deadline))
        return super().getreply()


class TLSSession(Session, smtplib.SMTP_SSL):
    """With TLS from the first byte."""

    def __init__(self, server: Server, deadline: float) -> None:
        self.deadline = deadline
        smtplib.SMTP_SSL.__init__(
            self,
            server.host,
            server.port,
            server.greeting or "localhost",
            timeout=_left(deadline),
            context=server.context,
        )


def begin(server: Server, deadline: float) -> Session:
    """A session that may send mail: protected and logged in, as the server's description says."""
    session = TLSSession(server, deadline) if server.security is Security.TLS else Session(server, deadline)
    try:
        if not server.greeting and session.sock is not None:
            session.local_hostname = own_name(session.sock)
        if server.security is Security.STARTTLS:
            session.starttls(context=server.context)
        session.ehlo_or_helo_if_needed()
        if server.login is not None:
            _log_in(session, server.login)
    except BaseException:
        session.close()
        raise
    return session


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or later to a server that the authorities in `ca_file`, else the system's, vouch for.
    Raises ConfigurationError."""
    if ca_file is not None and not ca_file.is_absolute():
        raise ConfigurationError("ca-file needs an absolute path")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca-file {ca_file}: {error.strerror or 'it holds no PEM certificate'}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _log_in(session: Session, login: Login) -> None:
    """smtplib's own login tries a wrong password under each mechanism in turn; three tries may lock an account."""
    offered = session.esmtp_features.get("auth", "").upper().split()
    mechanism = next((name for name in MECHANISMS if name in offered), None)
    if mechanism is None:
        raise smtplib.SMTPNotSupportedError(f"it offers neither of {' and '.join(MECHANISMS)} to log in with")
    session.user, session.password = login.user, login.password.reveal()
    session.auth(mechanism, session.auth_plain if mechanism == "PLAIN" else session.auth_login)


class _Replies(io.RawIOBase):
    """What the server says, until a deadline and up to a size."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock = sock
        self._deadline = deadline
        self._left = MAXIMUM_REPLY_BYTES

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """As a socket's file. Raises TimeoutError, OSError."""
        self._sock.settimeout(_left(self._deadline))
        received = self._sock.recv_into(buffer)
        self._left -= received
        if self._left < 0:
            raise OSError("it says too much")
        return received


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left
