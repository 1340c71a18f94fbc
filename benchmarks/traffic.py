"""Requests over kept connections, from a process of its own: each as soon as the one before it was answered.

A connection asks the same again and again and gets an answer of the same length, so counting bytes tells one answer
from the next: the caller costs next to nothing beside the server, whatever that is written in.
"""

from __future__ import annotations

import multiprocessing
import select
import socket
import ssl
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Self

from keysvc.web.tls.identity_files import IdentityFiles

END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask and what. `tls` is the TLS name of the server, and `identity` the caller's; both empty for plain."""

    address: tuple[str, int]
    request: bytes
    status: int = 200
    tls: str = ""
    identity: Path | None = None
    connections: int = 16

    def connect(self) -> socket.socket:
        """One connection, which blocks."""
        plain = socket.create_connection(self.address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._context().wrap_socket(plain, server_hostname=self.tls) if self.tls else plain

    def _context(self) -> ssl.SSLContext:
        if self.identity is not None:
            return IdentityFiles(self.identity).client_context()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def answer(self) -> bytes:
        """To one request, whole. Raises OSError when it is of another status."""
        with self.connect() as connection:
            return self.answer_on(connection)

    def answer_on(self, connection: socket.socket) -> bytes:
        """As `answer`."""
        connection.sendall(self.request)
        answer = b""
        while END_OF_HEAD not in answer:
            answer += self._received(connection)
        head, _, body = answer.partition(END_OF_HEAD)
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(body) < length:
            body += self._received(connection)
        if int(head.split(b" ", 2)[1]) != self.status:
            raise OSError(f"{self.request!r}: {head!r} {body!r}")
        return head + END_OF_HEAD + body

    def _received(self, connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        if not data:
            raise OSError("the server hung up")
        return data


def header(answer: bytes, name: str) -> str:
    """Of a whole answer."""
    lines = answer.partition(END_OF_HEAD)[0].decode("ascii").split("\r\n")[1:]
    found = dict(line.lower().split(": ", 1) for line in lines)
    return found[name.lower()]


class Traffic:
    """The process, while the context lasts."""

    def __init__(self, target: Target) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_obey, args=(target, theirs), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._pipe.recv()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.send(None)
        self._process.join()

    def answers(self, seconds: float) -> int:
        """How many came in that time."""
        self._pipe.send(seconds)
        answered: int = self._pipe.recv()
        return answered


def _obey(target: Target, orders: Connection) -> None:
    callers = Callers(target)
    orders.send("connected")
    while (seconds := orders.recv()) is not None:
        orders.send(callers.ask_for(seconds))


@dataclass(slots=True)
class Callers:
    """The connections, and how much of the present answer each has."""

    target: Target
    length: int = 0
    received: dict[int, int] = field(default_factory=dict)
    connections: dict[int, socket.socket] = field(default_factory=dict)
    poll: select.epoll = field(default_factory=select.epoll)

    def __post_init__(self) -> None:
        for _ in range(self.target.connections):
            connection = self.target.connect()
            self.length = len(self.target.answer_on(connection))
            connection.setblocking(False)
            self.connections[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def ask_for(self, seconds: float) -> int:
        """Until so many are over and every answer has come; how many that were."""
        end, answered, waiting = time.perf_counter() + seconds, 0, len(self.connections)
        self.received = dict.fromkeys(self.connections, 0)
        for connection in self.connections.values():
            connection.send(self.target.request)
        while waiting:
            for number, _ in self.poll.poll():
                if self._complete(number):
                    answered += 1
                    if time.perf_counter() < end:
                        self.connections[number].send(self.target.request)
                    else:
                        waiting -= 1
        return answered

    def _complete(self, number: int) -> bool:
        """Whether the whole answer is there. Raises OSError for another answer than the first was."""
        try:
            data = self.connections[number].recv(65536)
        except ssl.SSLWantReadError:
            return False
        received = self.received[number]
        if not data or (received == 0 and not data.startswith(b"HTTP/1.1 %d" % self.target.status)):
            raise OSError(f"unexpected: {data[:300]!r}")
        received += len(data)
        if received > self.length:
            raise OSError(f"{received} bytes instead of {self.length}")
        self.received[number] = received % self.length
        return received == self.length
