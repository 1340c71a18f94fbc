"""Running an ASGI application over mutual TLS, and telling it who is calling."""

from __future__ import annotations

import asyncio.sslproto
import contextlib
import errno
import gc
import logging
import math
import signal
import socket
import ssl
import threading
from collections import abc
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from keysvc.errors import ConfigurationError
from keysvc.web.asgi.exchange import ASGI, CONNECTED, Connected, in_thread

MAXIMUM_HEAD_BYTES = 64 * 1024
TLS_BUFFER_BYTES = 2048
KEEP_ALIVE_SECONDS = 75
LOCAL = getattr(socket, "AF_UNIX", None)


class _HeadWithBody:
    """What one answer is written to: its head waits for what is next of it, as ASGI has it, and goes in the same packet
    and the same record of TLS. uvicorn writes them one by one."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._cycle.response_started:  # 100 Continue
            self._transport.write(data)
        elif not self._head:
            self._head = data
        else:
            self._cycle.transport = self._transport
            self._transport.write(self._head + data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 by httptools, which puts what tells who calls into each request's scope, and bounds a head.

    The ASGI TLS extension would be the standard place for the certificate; uvicorn does not have it yet.
    """

    _connected = Connected()
    _head_bytes = 0.0  # of the head that is being received; none counts while a body is

    def shutdown(self) -> None:
        """An idle connection is cut: who keeps it in a pool does not answer TLS's goodbye, and would be waited for."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            super().shutdown()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        end = transport.get_extra_info("socket")
        local = end if end is not None and end.family == LOCAL else None
        self._connected = Connected(certificate, local, self.client[0] if self.client else "")

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAXIMUM_HEAD_BYTES:
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTED] = self._connected  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        self._head_bytes = -math.inf
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":
            self.cycle.transport = _HeadWithBody(self.cycle)  # type: ignore[assignment]

    def on_message_complete(self) -> None:
        self._head_bytes = 0.0
        super().on_message_complete()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {'it is in use' if taken else error.strerror or error}",
            hint="stop what uses it, or set another HOST:PORT in the configuration file",
        ) from None
    # Connections inherit it. asyncio sets it only for sockets that it made itself, and without it what does not go in
    # the first packet of an answer waits 40 ms for the caller to acknowledge that one.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def allow_connections() -> None:
    """As many as this account may have: each SSO server keeps one, and many systems begin with 1,024 open files."""
    try:
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ImportError, OSError, ValueError):  # Windows has no such limit; macOS may not say its own
        pass


class _WithoutTracebackOfRequests(logging.Filter):
    """uvicorn logs the traceback of a failed request; ours is logged by `_unknown_problem`, without values."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        return True


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, before_end: abc.Callable[[], None]) -> None:
        super().__init__(config)
        self._before_end = before_end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await in_thread(self._before_end)
        await super().shutdown(sockets)


class Server:
    """One ASGI application on one socket, over TLS when there is a context. `run` blocks until `stop`, SIGTERM or
    SIGINT."""

    def __init__(
        self,
        app: ASGI,
        at: socket.socket,
        context: ssl.SSLContext | None,
        before_end: abc.Callable[[], None] = lambda: None,
    ) -> None:
        """`before_end` is called, in a thread, while requests that wait are still to be answered."""
        # asyncio zeroes a buffer of this size for each TLS connection, of which every SSO server keeps one
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        logging.getLogger("uvicorn.error").addFilter(_WithoutTracebackOfRequests())
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config.load()
        config.ssl = context
        self._server = _Uvicorn(config, before_end)
        self._socket = at

    def run(self) -> None:
        """Serve."""
        allow_connections()
        gc.collect()
        gc.freeze()  # what is there by now stays to the end: to look through it again and again is lost time
        # uvicorn repeats the signal that ended it: the caller still has to release its lease then.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._server.run(sockets=[self._socket])

    @contextlib.contextmanager
    def in_background(self) -> abc.Iterator[None]:
        """Serve in a thread of its own while the context lasts."""
        thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="local-socket")
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """From any thread."""
        self._server.should_exit = True
