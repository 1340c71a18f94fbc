"""Sockets that libldap is given, connected and with a deadline: of its own accord it waits forever, and busily, for a
server that stops talking in the middle of a TLS handshake."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections import abc

CHUNK = 65536


@contextlib.contextmanager
def connected(host: str, port: int, seconds: float) -> abc.Iterator[socket.socket]:
    """As it is, for STARTTLS. Cut off after `seconds`. Raises OSError."""
    with socket.create_connection((host, port), seconds) as made, _cut_off_after(seconds, made):
        made.settimeout(None)
        yield made


@contextlib.contextmanager
def through_tls(host: str, port: int, seconds: float, ca_file: str) -> abc.Iterator[socket.socket]:
    """What goes in here goes on through TLS, to a server whose certificate is good for `host`: libldap takes a socket
    of ours without TLS only. Cut off after `seconds`. Raises OSError, ssl.SSLError among them."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.ExitStack() as ending:
        near, far = (ending.enter_context(end) for end in socket.socketpair())
        raw = ending.enter_context(socket.create_connection((host, port), seconds))
        line = ending.enter_context(raw.dup())  # wrap_socket takes raw itself away
        ending.enter_context(_cut_off_after(seconds, line, far))
        tls = ending.enter_context(context.wrap_socket(raw, server_hostname=host))
        relaying = threading.Thread(target=_relay, args=(far, tls), name="ldap-tls", daemon=True)
        relaying.start()
        ending.callback(relaying.join)
        ending.callback(_shut_down, near, far, line)
        yield near


def _relay(far: socket.socket, tls: ssl.SSLSocket) -> None:
    """Until either end is closed."""
    try:
        while True:
            ready = [tls] if tls.pending() else select.select([far, tls], [], [])[0]
            for source, sink in ((tls, far), (far, tls)):
                if source in ready and (data := _received(source)) is not None:
                    if not data:
                        return
                    sink.sendall(data)
    except (OSError, ValueError):  # cut off, or closed
        return
    finally:
        _shut_down(far)


def _received(source: socket.socket) -> bytes | None:
    """None where it was readable for a message of TLS alone, such as a session ticket: waiting for more would keep what
    goes the other way from going on."""
    source.settimeout(0)
    try:
        return source.recv(CHUNK)
    except ssl.SSLWantReadError:
        return None
    finally:
        source.settimeout(None)


@contextlib.contextmanager
def _cut_off_after(seconds: float, *sockets: socket.socket) -> abc.Iterator[None]:
    timer = threading.Timer(seconds, _shut_down, sockets)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
