"""One request of HTTP/1.1 and its answer, as ASGI sees them."""

from __future__ import annotations

import asyncio
from collections import abc
from typing import Any, Protocol

from keysvc.web.asgi.exchange import Headers, Response, Scope, problem
from keysvc.web.asgi.phrases import phrase
from keysvc.web.asgi.problems import Problem


class Writer(Protocol):
    """The connection that a request came on."""

    def write(self, data: bytes) -> None:
        """To the peer, unless it went away."""

    def regulate_reading(self) -> None:
        """Something was taken of what came."""

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Write the answer to a request."""


class Refused(Exception):
    """What was sent is not read any further."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why

    def response(self) -> Response:
        """As a problem."""
        return problem(Problem("about:blank", phrase(self.status), self.status, self.why, "http"))


class Exchange:
    """One request, as far as it has come, and its answer: `receive` and `send` of ASGI."""

    def __init__(self, connection: Writer, scope: Scope, *, keep_alive: bool, expects_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.complete = False
        self.answered = False
        self.refusal: Refused | None = None
        self.body = bytearray()
        self._connection = connection
        self.expects_continue = expects_continue
        self._is_gone = False
        self._read = False
        self._news = asyncio.Event()
        self._status = 500
        self._headers: Headers = ()
        self._content = b""

    def came(self, body: bytes = b"", *, complete: bool = False) -> None:
        """More of the request."""
        if not self.answered:
            self.body += body
        self.complete = self.complete or complete
        self._news.set()

    def gone(self) -> None:
        """No more of it comes."""
        self._is_gone = True
        self._news.set()

    async def receive(self) -> abc.MutableMapping[str, Any]:
        """As ASGI has it."""
        if self.expects_continue and not self.complete:
            self.expects_continue = False
            self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not self._is_gone and (self._read or not (self.body or self.complete)):
            self._news.clear()
            await self._news.wait()
        if self._is_gone:
            return {"type": "http.disconnect"}
        body, self.body = bytes(self.body), bytearray()
        self._read = self.complete
        self._connection.regulate_reading()
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: abc.MutableMapping[str, Any]) -> None:
        """The whole answer is written at once: its head goes in the same packet, and the same record of TLS."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message.get("headers", ())
            return
        self._content += message.get("body", b"")
        if not message.get("more_body", False) and not self.answered:
            self.answer(Response(self._status, self._headers, self._content))

    def answer(self, response: Response) -> None:
        """Once."""
        if self.refusal is not None:
            response = self.refusal.response()
        self.answered = True
        self.body = bytearray()
        self._connection.answer(self, response)
