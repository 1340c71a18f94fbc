"""Simulated SSO servers: each has one connection with a certificate of its own; all are in one process of their own.

They do what a master secret server sees of SSO servers that hold the versions already: mutual TLS 1.3, conditional
polls that tell instance and versions, at intervals with the jitter of the real ones, or waiting for a change.
"""

from __future__ import annotations

import contextlib
import heapq
import multiprocessing
import random
import select
import socket
import ssl
import threading
import time
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.poll import asking
from benchmarks.traffic import END_OF_HEAD, header
from keysvc.crypto import certificates
from keysvc.crypto.certificates import KeyPair
from keysvc.model import Identity, Role, host_name, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.poller import JITTER
from keysvc.web.tls.identity_files import KEY, IdentityFiles

WAIT_SECONDS = 20
CONNECTING = 8


@dataclass(frozen=True, slots=True)
class Polls:
    """What became of them; latencies in seconds."""

    latencies: abc.Sequence[float]
    missed: int

    def percentile(self, of_a_hundred: float) -> float:
        """The latency that so many of a hundred polls did not exceed."""
        return sorted(self.latencies)[min(len(self.latencies) - 1, int(len(self.latencies) * of_a_hundred / 100))]


def enrol(store: MappingStore, authority: KeyPair, system_id: str, count: int, folder: Path) -> None:
    """`count` SSO servers, as if each had joined; their certificates go into `folder`. They share a key: only the
    master secret server is measured. Before it starts, because it knows in memory who is enrolled."""
    request, key = certificates.request("fleet")
    files = IdentityFiles(folder)
    now, identities = utc_now(), []
    for number in range(count):
        name = f"server-{number:05}"
        hosts = [host_name(Role.SERVER, system_id)]
        certificate = certificates.sign_request(
            authority, request, name, Role.SERVER, now=now, hosts=hosts, system_id=system_id
        )
        if number == 0:
            files.write(certificate, key, authority.certificate)
        (folder / f"{number}.pem").write_bytes(certificate)
        identities.append(Identity(name, Role.SERVER, certificates.serial(certificate), now))
    store.commit([PutIdentity(identity) for identity in identities], UNGUARDED)


class Fleet:
    """The process, while the context lasts: `count` are connected and have polled once."""

    def __init__(self, port: int, system_id: str, folder: Path, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (port, system_id, folder, count, theirs)
        self._process = context.Process(target=_obey, args=arguments, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._answer()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._pipe.send(None)
        self._process.join()

    def poll_every(self, interval: float, seconds: float) -> Polls:
        """All of them, for so long."""
        self._pipe.send(("poll_every", interval, seconds))
        polls: Polls = self._answer()
        return polls

    def wait_for_change(self) -> None:
        """All of them have sent a waiting poll. Then change something and ask for `known_at`."""
        self._pipe.send(("wait_for_change",))
        self._answer()

    def known_at(self) -> abc.Sequence[float]:
        """By time.monotonic, when each of them was answered; then all have polled again with what there is now."""
        self._pipe.send(("known_at",))
        times: abc.Sequence[float] = self._answer()
        return times

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except EOFError:
            raise OSError("the simulated SSO servers ended: see above") from None


def _obey(port: int, system_id: str, folder: Path, count: int, orders: Connection) -> None:
    servers = _Servers(port, system_id, folder, count)
    orders.send("connected")
    while (order := orders.recv()) is not None:
        method, *arguments = order
        orders.send(getattr(servers, method)(*arguments))


@dataclass(slots=True)
class _Server:
    number: int
    connection: ssl.SSLSocket
    etag: str = ""
    sent_at: float = 0.0
    received: bytes = b""

    def ask(self, wait: int = 0) -> None:
        path = f"/v1/poll?instance=fleet{self.number}{f'&wait={wait}' if wait else ''}"
        self.sent_at = time.monotonic()
        self.connection.send(asking(self.etag, path))

    def answer(self) -> bytes | None:
        """None while it is not whole. Raises OSError for one that is neither 200 nor 304."""
        with contextlib.suppress(ssl.SSLWantReadError):
            data = self.connection.recv(65536)
            if not data:
                raise OSError("the master secret server hung up")
            self.received += data
        head, end, body = self.received.partition(END_OF_HEAD)
        if not end:
            return None
        status = int(head.split(b" ", 2)[1])
        if status == 200 and len(body) < int(header(self.received, "Content-Length")):
            return None
        if status not in {200, 304}:
            raise OSError(f"a poll was answered {self.received!r}")
        whole, self.received = self.received, b""
        self.etag = header(whole, "ETag")
        return whole


class _Servers:
    def __init__(self, port: int, system_id: str, folder: Path, count: int) -> None:
        self._address, self._host, self._folder = ("127.0.0.1", port), host_name(Role.MASTER, system_id), folder
        self._own = threading.local()
        self._poll = select.epoll()
        with ThreadPoolExecutor(CONNECTING) as threads:
            servers = list(threads.map(self._connect, range(count)))
        self._servers = {server.connection.fileno(): server for server in servers}

    def _connect(self, number: int) -> _Server:
        context = self._context()
        context.load_cert_chain(self._folder / f"{number}.pem", self._folder / KEY)
        plain = socket.create_connection(self._address)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = _Server(number, context.wrap_socket(plain, server_hostname=self._host))
        server.ask()
        while server.answer() is None:
            pass
        server.connection.setblocking(False)
        self._poll.register(server.connection, select.EPOLLIN)
        return server

    def _context(self) -> ssl.SSLContext:
        """One for each thread: what it shows is changed from one connection to the next."""
        if not hasattr(self._own, "context"):
            self._own.context = IdentityFiles(self._folder).client_context()
        found: ssl.SSLContext = self._own.context
        return found

    def poll_every(self, interval: float, seconds: float) -> Polls:
        """A poll is missed that is not answered well before the next of the same server is due."""
        begin = time.monotonic()
        # in the order in which they connected: whoever did first has waited longest, and is hung up on after a while
        due = [(begin + interval * place / len(self._servers), number) for place, number in enumerate(self._servers)]
        asked: set[int] = set()
        latencies: list[float] = []
        missed = 0
        while (now := time.monotonic()) < begin + seconds:
            while due[0][0] <= now:
                number = due[0][1]
                heapq.heapreplace(due, (now + interval * random.uniform(1 - JITTER, 1 + JITTER), number))
                if number in asked:
                    missed += 1
                else:
                    asked.add(number)
                    self._servers[number].ask()
            for number in self._answered(min(due[0][0], begin + seconds) - now):
                asked.discard(number)
                latencies.append(time.monotonic() - self._servers[number].sent_at)
        self._drain(asked)
        return Polls(latencies, missed)

    def wait_for_change(self) -> None:
        for server in self._servers.values():
            server.ask(WAIT_SECONDS)

    def known_at(self) -> list[float]:
        waiting, times = set(self._servers), []
        while waiting:
            for number in self._answered(WAIT_SECONDS):
                waiting.discard(number)
                times.append(time.monotonic())
        for server in self._servers.values():
            server.ask()
        self._drain(set(self._servers))
        return times

    def _drain(self, asked: set[int]) -> None:
        while asked:
            asked.difference_update(self._answered(WAIT_SECONDS))

    def _answered(self, seconds: float) -> abc.Iterator[int]:
        """Those whose answer has come within that time."""
        for number, _ in self._poll.poll(max(0.0, seconds)):
            if self._servers[number].answer() is not None:
                yield number
