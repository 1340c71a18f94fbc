"""Connections of somebody whom a server does not know, to a service that runs as a process of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import abc
from pathlib import Path
from urllib.parse import urlsplit

from sites import Site

from keysvc.cli.demo.processes import Process
from keysvc.installation import config as configuration
from keysvc.web.tls.identity_files import IdentityFiles

MIB = 1024 * 1024


def address(site: Site) -> tuple[str, int]:
    """Where its master secret server listens."""
    parts = urlsplit(configuration.load(site.machine.config).own_url)
    return parts.hostname or "", parts.port or 0


def silent(site: Site) -> socket.socket:
    """A TCP connection, on which nothing has been said."""
    return socket.create_connection(address(site), timeout=30)


def stranger(site: Site) -> ssl.SSLSocket:
    """TLS without a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(silent(site))


def administrator(site: Site) -> ssl.SSLSocket:
    """TLS with the certificate of the administrator whom `keysvc init` enrolled."""
    settings = configuration.load(site.machine.config)
    context = IdentityFiles(settings.resolve(settings.identity)).client_context()
    context.check_hostname = False
    return context.wrap_socket(silent(site))


def asked(connection: socket.socket, request: str, body: bytes = b"") -> bytes:
    """The whole answer to a request that closes its connection; what came of it when the server cut it."""
    with contextlib.suppress(OSError):
        connection.sendall(request.replace("\n", "\r\n").encode() + body)
    return heard(connection)


def heard(connection: socket.socket) -> bytes:
    """What comes until the connection ends."""
    answer = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            answer += piece
    return answer


def closed_after(connections: abc.Sequence[socket.socket], seconds: float) -> list[float | None]:
    """When the server ended each of them, from now on; None for those that it keeps so long."""
    began = time.monotonic()
    ended: dict[socket.socket, float] = {}
    while len(ended) < len(connections) and (left := began + seconds - time.monotonic()) > 0:
        open_ones = [connection for connection in connections if connection not in ended]
        for connection in select.select(open_ones, [], [], min(left, 1))[0]:
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                connection.setblocking(False)
                try:
                    is_over = not connection.recv(65536)
                except (ConnectionError, ssl.SSLEOFError):
                    is_over = True
                if is_over:
                    ended[connection] = time.monotonic() - began
    return [ended.get(connection) for connection in connections]


def memory(process: Process) -> int:
    """The bytes that a process has in memory now."""
    for line in Path(f"/proc/{process.popen.pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process has ended")


def accepted(site: Site) -> int:
    """How many connections its master secret server has accepted and not closed. Linux tells every account."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return sum(
        int(local.rpartition(":")[2], 16) == address(site)[1] and remote.rpartition(":")[2] != "0000" and inode != "0"
        for _, local, remote, *_, inode in (row[:3] + row[9:10] for row in rows)
    )
