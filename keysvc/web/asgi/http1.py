"""HTTP/1.1 on one connection. httptools parses it, ASGI answers it, and everything that a peer may send is bounded:
bytes, headers, requests that come before their turn, and time."""

from __future__ import annotations

import asyncio
import http
import math
import socket
from collections import deque
from typing import Any, Protocol
from urllib.parse import unquote

import httptools

from keysvc.web.asgi.exchange import ASGI, CONNECTED, Connected, Response, Scope
from keysvc.web.asgi.phrases import phrase
from keysvc.web.asgi.request import Exchange, Refused

MAXIMUM_FRAMING_BYTES = 64 * 1024
"""Of a request, all that is not its body: request line, headers, sizes and extensions of chunks."""
MAXIMUM_URL_BYTES = 16 * 1024
MAXIMUM_HEADERS = 100
MAXIMUM_HEAD_BYTES = 32 * 1024
MAXIMUM_AHEAD = 16
"""Requests that came before the answer to the one before them."""
MAXIMUM_BUFFERED_BYTES = 64 * 1024
MAXIMUM_DISCARDED_BYTES = 2 * 1024 * 1024
"""Of the body of a request that was answered before its end."""
HEAD_SECONDS = 10.0
"""From the beginning of a connection to the end of the first head, and from the beginning of each later head."""
BODY_SECONDS = 30.0
ANSWER_SECONDS = 30.0
"""Until the peer has taken an answer that is too large for its buffers."""
IDLE_SECONDS = 75.0
LINGER_SECONDS = 1.0
"""After a refusal: what the peer still sends is read, and dropped, so that it gets to read the refusal."""
_BODYLESS = frozenset({204, 304})
_STATUS_LINES = {int(code): f"HTTP/1.1 {code} {phrase(code)}\r\n".encode() for code in http.HTTPStatus}
_LOCAL = getattr(socket, "AF_UNIX", None)


class Company(Protocol):
    """The connections of one server."""

    def knows(self, connected: Connected) -> bool:
        """Whether it is somebody that this server may answer; all others are strangers."""

    def joined(self, connection: HttpConnection) -> None:
        """It is open."""

    def left(self, connection: HttpConnection) -> None:
        """It is closed."""

    def refused(self, connection: HttpConnection, status: int, why: str) -> None:
        """What it sent was not a request that anybody answers."""

    def failed(self, error: Exception) -> None:
        """The application raised what it should have answered with."""


class HttpConnection(asyncio.Protocol):
    """One connection; `deadline`, in the time of the event loop, is when it has to have got further."""

    def __init__(self, app: ASGI, company: Company) -> None:
        self._app = app
        self._company = company
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + HEAD_SECONDS  # of the TLS handshake, too
        self.connected = Connected()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._task: asyncio.Task[None] | None = None
        self._exchange: Exchange | None = None  # that is being answered
        self._receiving: Exchange | None = None  # whose body comes
        self._ahead: deque[Exchange] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._head_bytes = 0
        self._framing = 0
        self._discarded = 0
        self._is_deaf = False
        self._is_blocked = False
        self._is_ending = False
        self._is_over = False

    # -- what asyncio tells ----------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Of asyncio: after the TLS handshake."""
        self._transport = transport
        tls, end = transport.get_extra_info("ssl_object"), transport.get_extra_info("socket")
        peer = transport.get_extra_info("peername")
        local = end if end is not None and end.family == _LOCAL else None
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.connected = Connected(certificate, local, str(peer[0]) if isinstance(peer, tuple) else "")
        self.connected.is_known = self._company.knows(self.connected)
        self._company.joined(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Of asyncio."""
        for exchange in (self._exchange, self._receiving, *self._ahead):
            if exchange is not None:
                exchange.gone()
        self._ahead.clear()
        self._is_deaf = self._is_over = True
        self._parser = None
        self._company.left(self)

    def pause_writing(self) -> None:
        """Of asyncio: the peer does not take what is written."""
        self._is_blocked = True
        self._waits()

    def resume_writing(self) -> None:
        """Of asyncio: it does again."""
        self._is_blocked = False
        self._waits()

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        if self._is_deaf:
            return
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
            if self._framing > MAXIMUM_FRAMING_BYTES:
                self._refuse(Refused(431, f"what is not body is larger than {MAXIMUM_FRAMING_BYTES} bytes"))
        except httptools.HttpParserUpgrade:  # nothing else is spoken here: the request is answered, as RFC 9110 allows
            self._is_deaf = True
            if self._exchange is None:
                self._refuse(Refused(400, "this server speaks HTTP/1.1"))
            else:
                (self._exchange, *self._ahead)[-1].keep_alive = False
        except httptools.HttpParserError as error:
            if not self._is_deaf:
                why = error.__context__
                self._refuse(why if isinstance(why, Refused) else Refused(400, "this is not a request of HTTP/1.1"))

    # -- what httptools tells --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Of httptools."""
        if len(self._ahead) >= MAXIMUM_AHEAD:
            raise Refused(429, f"more than {MAXIMUM_AHEAD} requests came before the answer to the first")
        self._url, self._headers, self._in_head, self._head_bytes = b"", [], True, 0
        if self._exchange is None:
            self.deadline = min(self.deadline, self._loop.time() + HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """Of httptools: a piece of it."""
        self._url += url
        if len(self._url) > MAXIMUM_URL_BYTES:
            raise Refused(414, f"the URL is longer than {MAXIMUM_URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Of httptools: also for what comes after a body in chunks."""
        if not self._in_head:
            raise Refused(400, "headers after the body (trailers) are not taken")
        self._head_bytes += len(name) + len(value)
        if len(self._headers) >= MAXIMUM_HEADERS or self._head_bytes > MAXIMUM_HEAD_BYTES:
            raise Refused(431, f"more than {MAXIMUM_HEADERS} headers, or than {MAXIMUM_HEAD_BYTES} bytes of them")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Of httptools: the application begins."""
        self._in_head = False
        version = self._parser.get_http_version()
        if version not in {"1.0", "1.1"}:
            raise Refused(505, "this server speaks HTTP/1.1")
        if sum(name == b"host" for name, _ in self._headers) > 1:
            raise Refused(400, "the request names more than one host")
        exchange = Exchange(
            self,
            self._scope(version),
            keep_alive=self._parser.should_keep_alive() and version == "1.1",
            expects_continue=any(
                name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers
            ),
        )
        self._receiving, self._discarded = exchange, 0
        self._url, self._headers = b"", []  # an idle connection keeps nothing of its last request
        self._take(exchange)

    def on_body(self, body: bytes) -> None:
        """Of httptools: a piece of it."""
        exchange = self._receiving
        if exchange is None:
            return
        self._framing = max(0, self._framing - len(body))
        if exchange.answered:
            self._discarded += len(body)
            if self._discarded > MAXIMUM_DISCARDED_BYTES:
                raise Refused(413, "the request was answered, and its body does not end")
        exchange.came(body)
        self.regulate_reading()

    def on_message_complete(self) -> None:
        """Of httptools."""
        exchange, self._receiving = self._receiving, None
        self._framing = 0
        if exchange is None:
            return
        exchange.came(complete=True)
        self._is_deaf = self._is_deaf or not exchange.keep_alive
        if exchange is self._exchange:
            if exchange.answered:
                self._finish(exchange)
            else:
                self._waits()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _scope(self, version: str) -> Scope:
        url = httptools.parse_url(self._url)
        if url.path is None:
            raise Refused(400, "the request names no path")
        path = url.path.decode("ascii")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "scheme": "http" if self.connected.local_socket is not None else "https",
            "method": self._parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": url.path,
            "query_string": url.query or b"",
            "headers": self._headers,
            CONNECTED: self.connected,
        }

    def _take(self, exchange: Exchange) -> None:
        if self._exchange is None:
            self._begin(exchange)
        else:
            self._ahead.append(exchange)
            self.regulate_reading()

    def _begin(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._waits()
        if exchange.refusal is not None:
            exchange.answer(exchange.refusal.response())
        else:
            self._task = self._loop.create_task(self._run(exchange))

    async def _run(self, exchange: Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except Exception as error:  # noqa: BLE001  what it holds is neither told nor logged
            self._company.failed(error)
        if not exchange.answered:
            exchange.keep_alive = False
            exchange.answer(Refused(500, "an unexpected error; the server's log names it").response())

    def answer(self, exchange: Exchange, response: Response) -> None:
        """Write the answer to a request. Whoever is unknown gets one for each connection."""
        is_cut_short = exchange.refusal is not None or (exchange.expects_continue and not exchange.complete)
        if self._is_ending or not self.connected.is_known or is_cut_short:
            exchange.keep_alive = False
        lines = [_STATUS_LINES[response.status]]
        lines.extend(b"%s: %s\r\n" % header for header in response.headers)
        if response.status not in _BODYLESS and all(name != b"content-length" for name, _ in response.headers):
            lines.append(b"content-length: %d\r\n" % len(response.content))
        lines.append(b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n")
        if exchange.scope["method"] != "HEAD":
            lines.append(response.content)
        self.write(b"".join(lines))
        if exchange.complete:
            self._finish(exchange)
        elif is_cut_short:
            self._is_deaf = True
            self.deadline = self._loop.time() + LINGER_SECONDS
        self.regulate_reading()

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = self._task = None
        if not exchange.keep_alive:
            self._close()
        elif self._ahead:
            self._begin(self._ahead.popleft())
        else:
            self._waits()

    def _refuse(self, refused: Refused) -> None:
        """Read no further; say why, after the answers to the requests before."""
        self._is_deaf = True
        self._company.refused(self, refused.status, refused.why)
        exchange = self._receiving
        if exchange is None:
            exchange = Exchange(self, {"method": "GET"}, keep_alive=False, expects_continue=False)
            exchange.refusal = refused
            self._take(exchange)
        elif exchange.answered:
            self.abort()
        else:
            exchange.refusal = refused
            exchange.gone()

    def _waits(self) -> None:
        """What is waited for has changed."""
        if self._is_blocked:
            seconds = ANSWER_SECONDS
        elif self._exchange is None:
            seconds = HEAD_SECONDS if self._in_head else IDLE_SECONDS
        else:
            seconds = math.inf if self._exchange.complete or self._exchange.refusal else BODY_SECONDS
        self.deadline = self._loop.time() + seconds
        self.regulate_reading()

    def regulate_reading(self) -> None:
        """Read on unless there is enough to do already."""
        coming = self._receiving
        enough = self._is_blocked or self._ahead or (coming and len(coming.body) > MAXIMUM_BUFFERED_BYTES)
        if not self._is_closing():
            if enough:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        """To the peer, unless it went away."""
        if not self._is_closing():
            self._transport.write(data)

    def _is_closing(self) -> bool:
        return self._is_over or self._transport.is_closing()  # a transport of TLS forgets that it was closed

    def _close(self) -> None:
        self._is_deaf = True
        self._transport.close()
        self.deadline = self._loop.time() + HEAD_SECONDS  # to take what was written

    def abort(self) -> None:
        """Cut it."""
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """Answer what is being answered, then close. An idle connection is cut: whoever keeps it in a pool does not
        answer TLS's goodbye, and would be waited for."""
        self._is_ending = True
        if self._exchange is None:
            self.abort()

    def cancel(self) -> None:
        """Cut it, and end what answers it."""
        if self._task is not None:
            self._task.cancel()
        self.abort()
