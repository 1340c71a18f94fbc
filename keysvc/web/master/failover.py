"""Finding the master secret server that is active, among several."""

from __future__ import annotations

import ssl
from collections import abc

import msgspec
import urllib3

from keysvc.errors import (
    Fenced,
    KeysvcError,
    MappingStoreUnavailable,
    MasterSecretServerUnavailable,
    NotActive,
)
from keysvc.web.asgi.connection import READ_SECONDS, Answer, Connection, NoAnswer, decode

WHAT = "the master secret server"
Find = abc.Callable[[], str]
"""Finds the URL of the active master secret server where the lease is; empty when nobody holds it."""


class ActiveMaster:
    """Requests to whichever of several master secret servers is active: the one that answered last, then the one that a
    standby names, then the others of the list, then the one that `find` names. Thread-safe.

    What makes this safe is each server's certificate, which must be of a master secret server of this system, wherever
    its address came from.
    """

    def __init__(self, urls: abc.Sequence[str], context: ssl.SSLContext, host: str, find: Find) -> None:
        self._context, self._host, self._find = context, host, find
        self._urls = tuple(url.rstrip("/") for url in urls)
        self._last = self._urls[0]
        self._connections = {url: self._connect(url) for url in self._urls}

    def _connect(self, url: str) -> Connection:
        return Connection(url, self._context, self._host, WHAT)

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
        waiting, tried = [self._last, *self._urls], set[str]()
        first: KeysvcError | None = None
        while url := self._next(waiting, tried):
            tried.add(url)
            try:
                response = self._connection(url).exchange(method, path, content, headers, seconds)
            except NotActive as error:
                waiting.insert(0, error.active)
                first = first or error
            except MasterSecretServerUnavailable as error:
                first = first or error
            except Fenced as error:  # it changed nothing, and does not know yet that it is a standby
                first = first or MasterSecretServerUnavailable(str(error))
            except MappingStoreUnavailable as error:  # another may well reach it
                if method != "GET":
                    raise
                first = first or error
            except NoAnswer as error:
                if error.sent and method != "GET":
                    raise error.error from None
                first = first or error.error
            else:
                self._last = url
                return response
        raise first or MasterSecretServerUnavailable("no address of a master secret server is known")

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

    def get(self, path: str, kind: type[Answer]) -> Answer:
        """A decoded answer."""
        return self.decode(self.request("GET", path), kind)

    def decode(self, response: urllib3.BaseHTTPResponse, kind: type[Answer]) -> Answer:
        """Raises ProtocolError."""
        return decode(response, kind, WHAT)

    def close(self) -> None:
        """Repeatable."""
        for connection in self._connections.values():
            connection.close()
