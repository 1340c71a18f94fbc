"""Running an ASGI application over mutual TLS, and telling it who is calling."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextlib
import errno
import gc
import logging
import signal
import socket
import ssl
import threading
from collections import abc
from typing import Any

from keysvc.errors import ConfigurationError
from keysvc.plugin.logs import Limited, get_logger
from keysvc.web.asgi.exchange import ASGI, STRANGERS_LOG, Connected, in_thread
from keysvc.web.asgi.http1 import HEAD_SECONDS, HttpConnection
from keysvc.web.asgi.strangers import Strangers

TLS_BUFFER_BYTES = 2048
TLS_GOODBYE_SECONDS = 5.0
MAXIMUM_OF_ONE_CERTIFICATE = 1024
"""Connections: a machine whose processes each keep one has fewer. Of more, the oldest makes room."""
SPARE_DESCRIPTORS = 64
"""Which connections leave to everything else: databases, key stores, files."""
END_SECONDS = 5.0
SWEEP_SECONDS = 1.0
FULL_SECONDS = 0.1
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = get_logger("keysvc.web")


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


def most_connections() -> int:
    """How many there may be now. Few enough that some descriptors are left."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError, ValueError):
        return 65536
    return max(limit // 2, limit - SPARE_DESCRIPTORS) if limit != resource.RLIM_INFINITY else 65536


def has_certificate(connected: Connected) -> bool:
    """The TLS handshake has checked whose authority it is of."""
    return connected.certificate is not None


def interrupt_at_end() -> None:
    """Until a server runs, what would end this process raises KeyboardInterrupt, as Ctrl-C does: what is open by then
    is closed, and a lease released."""
    _on_end(_interrupt)


def _interrupt() -> None:
    raise KeyboardInterrupt


def _on_end(act: abc.Callable[[], None]) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP"):
        number = getattr(signal, name, None)
        ignored = name == "SIGHUP" and number is not None and signal.getsignal(number) is signal.SIG_IGN  # by nohup
        if number is not None and not ignored:
            signal.signal(number, lambda *_: act())


class _Company:
    """All connections of one server: who is a stranger, who took too long."""

    def __init__(self, knows: abc.Callable[[Connected], bool]) -> None:
        self.knows = knows
        self.strangers = Strangers()
        self.open: set[HttpConnection] = set()
        self._of_certificate: dict[bytes, dict[HttpConnection, None]] = {}

    def joined(self, connection: HttpConnection) -> None:
        self.open.add(connection)
        if not connection.connected.is_known:
            self.strangers.is_unknown(connection, connection.abort)
        elif (certificate := connection.connected.certificate) is not None:
            alike = self._of_certificate.setdefault(certificate, {})
            alike[connection] = None
            if len(alike) > MAXIMUM_OF_ONE_CERTIFICATE:
                oldest = next(iter(alike))
                del alike[oldest]
                oldest.abort()

    def left(self, connection: HttpConnection) -> None:
        self.open.discard(connection)
        self.strangers.leaves(connection)
        alike = self._of_certificate.get(connection.connected.certificate or b"", {})
        alike.pop(connection, None)
        if not alike:
            self._of_certificate.pop(connection.connected.certificate or b"", None)

    def refused(self, connection: HttpConnection, status: int, why: str) -> None:
        STRANGERS_LOG.info(
            "refused what is no request", caller=connection.connected.address, status=status, problem=why
        )

    def failed(self, error: Exception) -> None:
        log.error("a request failed", error=type(error).__name__)

    async def sweep(self) -> None:
        """Cut, for ever, whatever has not got further in its time."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in [one for one in self.open if one.deadline < now]:
                connection.abort()

    async def end(self) -> None:
        """Let those finish that are being answered, for a while."""
        for connection in list(self.open):
            connection.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while self.open:
                    await asyncio.sleep(0.02)
        for connection in list(self.open):
            connection.cancel()


class Server:
    """One ASGI application on one socket, over TLS when there is a context. `run` blocks until `stop`, SIGTERM,
    SIGINT or SIGHUP: a certificate is loaded anew by itself, and everything else by a start."""

    def __init__(
        self,
        app: ASGI,
        at: socket.socket,
        context: ssl.SSLContext | None,
        *,
        before_end: abc.Callable[[], None] = lambda: None,
        knows: abc.Callable[[Connected], bool] = has_certificate,
        at_start: abc.Callable[[], None] = lambda: None,
    ) -> None:
        """`at_start` is called in the event loop, `before_end` in a thread while requests that wait are still to be
        answered. Whom `knows` does not know is a stranger: there may be few of them, and for a short time."""
        # asyncio zeroes a buffer of this size for each TLS connection, of which every SSO server keeps one
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
        at.setblocking(False)
        self._app = app
        self._socket = at
        self._context = context
        self._before_end = before_end
        self._knows = knows
        self._at_start = at_start
        self._is_stopped = False
        self._wake: abc.Callable[[], object] = lambda: None
        self._full = Limited(log, 1)

    def run(self) -> None:
        """Serve."""
        allow_connections()
        gc.collect()
        gc.freeze()  # what is there by now stays to the end: to look through it again and again is lost time
        _on_end(self.stop)
        self._run()

    @contextlib.contextmanager
    def in_background(self) -> abc.Iterator[None]:
        """Serve in a thread of its own while the context lasts."""
        thread = threading.Thread(target=self._run, name="local-socket")
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()

    def stop(self) -> None:
        """From any thread. Repeatable."""
        self._is_stopped = True
        with contextlib.suppress(RuntimeError):  # it has ended
            self._wake()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(_note)
        self._wake = lambda: loop.call_soon_threadsafe(stopping.set)
        if self._is_stopped:
            stopping.set()
        self._at_start()
        company = _Company(self._knows)
        tasks = [loop.create_task(self._accept(company)), loop.create_task(company.sweep())]
        try:
            await stopping.wait()
            await in_thread(self._before_end)
        finally:
            tasks[0].cancel()
            self._socket.close()
            await company.end()

    async def _accept(self, company: _Company) -> None:
        loop = asyncio.get_running_loop()
        greeting: set[asyncio.Task[None]] = set()
        while True:
            try:
                connected, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._full.error("no connection can be accepted", problem=error.strerror)
                    company.strangers.drop_one()
                    await asyncio.sleep(FULL_SECONDS)
                continue
            most = most_connections()
            await company.strangers.room(most // 4)
            if len(company.open) + len(greeting) >= most and not company.strangers.drop_one():
                self._full.error(
                    "there are as many connections as this account may have", connections=len(company.open)
                )
                connected.close()
            else:
                greeted = loop.create_task(self._greet(connected, company))
                greeting.add(greeted)
                greeted.add_done_callback(greeting.discard)
                greeted.add_done_callback(company.strangers.leaves)
                company.strangers.arrives(greeted, greeted.cancel)
            await asyncio.sleep(0)

    async def _greet(self, connected: socket.socket, company: _Company) -> None:
        """Whatever a stranger may do in the handshake: it is cut, and nothing else happens."""
        limits = {"ssl_handshake_timeout": HEAD_SECONDS, "ssl_shutdown_timeout": TLS_GOODBYE_SECONDS}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: HttpConnection(self._app, company),
                connected,
                ssl=self._context,
                **(limits if self._context is not None else {}),
            )
        except OSError as error:
            STRANGERS_LOG.info("no TLS was agreed on", problem=getattr(error, "reason", None) or type(error).__name__)
            connected.close()
        except asyncio.CancelledError:
            connected.close()
            raise


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the event loop has to tell may hold values: only its kind is logged."""
    error = context.get("exception")
    STRANGERS_LOG.log(
        logging.WARNING, "the event loop met a problem", problem=context["message"], error=type(error).__name__
    )
