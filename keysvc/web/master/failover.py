"""Finding the master secret server that is active, among several."""

from __future__ import annotations

import ssl
import time
from collections import abc

import msgspec
import urllib3
from msgspec.json import Decoder

from keysvc.errors import (
    Fenced,
    KeysvcError,
    MappingStoreUnavailable,
    MasterSecretServerUnavailable,
    NotActive,
)
from keysvc.plugin.clock import elapsed
from keysvc.web.asgi.connection import READ_SECONDS, Answer, Connection, NoAnswer, Own, decode, no_problem

WHAT = "the master secret server"
AGAIN_SECONDS = 0.25
Find = abc.Callable[[], str]
"""Finds the URL of the active master secret server where the lease is; empty when nobody holds it."""
Ask = abc.Callable[[Connection], urllib3.BaseHTTPResponse]


class ActiveMaster:
    """Requests to whichever of several master secret servers is active: the one that answered last, then the one that a
    standby names, then the others of the list, then the one that `find` names. Thread-safe.

    What makes this safe is each server's certificate, which must be of a master secret server of this system, wherever
    its address came from.
    """

    def __init__(
        self,
        urls: abc.Sequence[str],
        context: ssl.SSLContext,
        host: str,
        find: Find,
        patience: float = 0.0,
        *,
        own: Own = no_problem,
    ) -> None:
        """`patience` is how many seconds a request waits while nobody is active, but a standby may take over; `own` as
        of `Requests`."""
        self._own = own
        self._context, self._host, self._find = context, host, find
        self._patience = patience
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._last = self._urls[0]
        self._connections = {url: self._connect(url) for url in self._urls}

    def _connect(self, url: str) -> Connection:
        return Connection(url, self._context, self._host, WHAT, self._own)

    def request(
        self,
        method: str,
        path: str,
        content: msgspec.Struct | None = None,
        headers: abc.Mapping[str, str] | None = None,
        seconds: float = READ_SECONDS,
    ) -> urllib3.BaseHTTPResponse:
        """The active one's answer. What may have been carried out is not sent again, unless it changes nothing. Raises
        what it raised, else the first problem that was met."""

        def ask(connection: Connection) -> urllib3.BaseHTTPResponse:
            return connection.exchange(method, path, content, headers, seconds)

        deadline = elapsed() + self._patience
        while True:
            problems: list[KeysvcError] = []
            response = self._first_answer(ask, problems, changing=method != "GET")
            if response is not None:
                return response
            taken_over_soon = any(isinstance(problem, NotActive) for problem in problems)
            if not taken_over_soon or elapsed() >= deadline:
                raise problems[0]
            time.sleep(AGAIN_SECONDS)

    def _first_answer(
        self, ask: Ask, problems: list[KeysvcError], *, changing: bool
    ) -> urllib3.BaseHTTPResponse | None:
        """Ask each of them once, until one is active. None when none is: then `problems` are why."""
        waiting, tried = [self._last, *self._urls], set[str]()
        while url := self._next(waiting, tried):
            tried.add(url)
            try:
                response = ask(self._connection(url))
            except NotActive as error:
                waiting.insert(0, error.active)
                problems.append(error)
            except MasterSecretServerUnavailable as error:
                problems.append(error)
            except Fenced as error:  # it changed nothing, and does not know yet that it is a standby
                problems.append(MasterSecretServerUnavailable(str(error)))
            except MappingStoreUnavailable as error:  # another may well reach it
                if changing:
                    raise
                problems.append(error)
            except NoAnswer as error:
                if error.sent and changing:
                    raise error.error from None
                problems.append(error.error)
            else:
                self._last = url
                return response
        return None

    def _next(self, waiting: list[str], tried: set[str]) -> str:
        for url in waiting:
            if url and url not in tried:
                return url
        found = self._find().rstrip("/")
        return "" if found in tried else found

    def _connection(self, url: str) -> Connection:
        if url not in self._connections:
            self._connections[url] = self._connect(url)
        return self._connections[url]

    def get(self, path: str, decoder: Decoder[Answer]) -> Answer:
        """A decoded answer."""
        return self.decode(self.request("GET", path), decoder)

    def decode(self, response: urllib3.BaseHTTPResponse, decoder: Decoder[Answer]) -> Answer:
        """Raises ProtocolError."""
        return decode(response, decoder, WHAT)

    def reconnect(self) -> None:
        """Use new connections from the next request on; those in use are closed when they are done."""
        self._connections = {url: self._connect(url) for url in self._urls}

    def close(self) -> None:
        """Repeatable."""
        for connection in self._connections.values():
            connection.close()
