"""How a message gets to a receiver, and what is known when it is on its way. Each raises OSError."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keysvc.plugin import ConfigurationError

GRACE_SECONDS = 1.0
"""How long a receiver may take to reset a connection when it is not waited for to close it."""


class NotClosed(TimeoutError):
    """The receiver was sent the message and has not closed the connection: whether it has read it, nobody knows."""


class Transport(Protocol):
    """A way to one receiver."""

    @property
    def limit(self) -> int:
        """Octets of the longest message."""

    def send(self, message: bytes, seconds: float) -> None:
        """In `seconds` at most, behind the look-up of a name."""


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """Datagrams to a process on this machine. The kernel keeps them until that process reads."""

    path: Path
    limit: int = 8192

    def __str__(self) -> str:
        return str(self.path)

    def send(self, message: bytes, seconds: float) -> None:
        """On return the message is in the receiver's queue."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(seconds)
            sender.connect(str(self.path))
            sender.send(message)


@dataclass(frozen=True, slots=True)
class UDP:
    """RFC 5426. Its section 3.2 wants receivers to take 2048 octets, and no more."""

    host: str
    port: int
    limit: int = 2048

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def send(self, message: bytes, seconds: float) -> None:
        """On return the message has left this machine: nobody knows more."""
        family, kind, protocol, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.settimeout(seconds)
            sender.connect(address)
            sender.send(message)


@dataclass(frozen=True, slots=True)
class Stream:
    """TLS (RFC 5425), or TCP without it (RFC 6587). Octets are counted, or a newline ends the message.

    Syslog has no acknowledgement, so each message has a connection of its own: we say that nothing follows and wait for
    the receiver to close. It closes when it has read everything; one that died, or turned the client away, before it
    read resets instead. Without `receipt`, a receiver that does not reset within GRACE_SECONDS has accepted.
    """

    host: str
    port: int
    context: ssl.SSLContext | None
    newline: bool = False
    receipt: bool = True
    limit: int = 8192

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def send(self, message: bytes, seconds: float) -> None:
        """On return the receiver's process has read the message; without a receipt, this machine has sent it. Raises
        NotClosed."""
        deadline = time.monotonic() + seconds
        with socket.create_connection((self.host, self.port), seconds) as plain:
            plain.settimeout(_left(deadline))
            with self.context.wrap_socket(plain, server_hostname=self.host) if self.context else plain as sender:
                sender.sendall(message + b"\n" if self.newline else f"{len(message)} ".encode() + message)
                if self.receipt:
                    _wait_for_close(sender, deadline)
                else:
                    with contextlib.suppress(NotClosed):
                        _wait_for_close(sender, min(deadline, time.monotonic() + GRACE_SECONDS))


def _wait_for_close(sender: socket.socket, deadline: float) -> None:
    """Say that nothing follows, and wait until the receiver closes. Raises NotClosed."""
    try:
        sender.settimeout(_left(deadline))
        if isinstance(sender, ssl.SSLSocket):
            # Many receivers close without a close_notify of their own.
            with contextlib.suppress(ssl.SSLEOFError):
                sender.unwrap()
        sender.shutdown(socket.SHUT_WR)
        sender.settimeout(_left(deadline))
        answer = sender.recv(1)
    except TimeoutError:
        raise NotClosed from None
    if answer:
        raise ConnectionAbortedError(0, "it answers, which no syslog receiver does")


def trust(
    *, ca_file: str | None, certificate: str | None, key: str | None, passphrase: abc.Callable[[], str]
) -> ssl.SSLContext:
    """TLS 1.2 or later to a receiver that the authorities in `ca_file`, else the system's, vouch for; with a client
    certificate if there is one. `passphrase` is called only for a key that has one. Raises ConfigurationError."""
    for name, path in (("ca-file", ca_file), ("client-certificate", certificate), ("client-key", key)):
        if path is not None and not Path(path).is_absolute():
            raise ConfigurationError(f"{name} needs an absolute path")
    if key is not None and certificate is None:
        raise ConfigurationError("client-key needs client-certificate")
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca-file {ca_file}: {error.strerror or 'it holds no PEM certificate'}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, passphrase)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                "client-certificate and client-key cannot be used",
                hint="both must be readable PEM files that belong together, and the passphrase right",
            ) from None
    return context


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left
