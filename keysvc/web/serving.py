"""Running an ASGI application over mutual TLS, and telling it who is calling."""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import socket
import ssl
import threading
from collections import abc
from typing import Any, cast

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from keysvc.crypto.certificates import Peer, peer_of
from keysvc.errors import AccessDenied, ConfigurationError, InvalidInput, KeysvcError, NotFound
from keysvc.model import acting_from
from keysvc.web.problems import MEDIA_TYPE, Problem, problem_of

log = structlog.get_logger("keysvc.web")
MAXIMUM_BODY_BYTES = 2 * 1024 * 1024
KEEP_ALIVE_SECONDS = 75
LOCAL = getattr(socket, "AF_UNIX", None)


class _Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, which puts what tells who calls into each request's scope: the verified client certificate
    (DER), or the UNIX socket.

    The ASGI TLS extension would be the standard place; uvicorn does not have it yet.
    """

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
        connected = transport.get_extra_info("socket")
        local = connected if connected is not None and connected.family == LOCAL else None
        application = self.app

        async def with_peer(scope: Any, receive: Any, send: Any) -> None:
            scope["keysvc.certificate"], scope["keysvc.local_socket"] = certificate, local
            await application(scope, receive, send)

        self.app = with_peer


def peer(request: Request) -> Peer:
    """Who calls. Raises AccessDenied without a client certificate of this system's authority."""
    certificate = request.scope.get("keysvc.certificate")
    if certificate is None:
        raise AccessDenied("a client certificate is needed", hint="enrol this machine: keysvc join URL --token TOKEN")
    if request.client is not None:
        acting_from(request.client.host)
    return peer_of(certificate)


async def read_body(request: Request) -> bytes:
    """Raises InvalidInput for more than 2 MiB."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAXIMUM_BODY_BYTES:
            raise InvalidInput(f"the body is larger than {MAXIMUM_BODY_BYTES} bytes")
    return content


def answer(content: Any, status: int = 200, headers: abc.Mapping[str, str] | None = None) -> Response:
    """JSON that no cache keeps."""
    return Response(
        msgspec.json.encode(content),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


in_thread = run_in_threadpool


def json_application(routes: abc.Sequence[Route]) -> Starlette:
    """An ASGI application whose every error is a problem."""
    return Starlette(
        routes=routes,
        exception_handlers={KeysvcError: _known_problem, HTTPException: _http_problem, Exception: _unknown_problem},
    )


async def _known_problem(request: Request, error: Exception) -> Response:
    problem = problem_of(cast(KeysvcError, error))
    log.info("refused", path=request.url.path, code=problem.code, problem=problem.detail)
    return Response(msgspec.json.encode(problem), problem.status, media_type=MEDIA_TYPE)


async def _http_problem(request: Request, raised: Exception) -> Response:
    error = cast(HTTPException, raised)
    if error.status_code == 404:
        return await _known_problem(request, NotFound("there is nothing at this path", hint="see /openapi.json"))
    problem = Problem("about:blank", error.detail, error.status_code, f"{request.method} is not for this path", "http")
    return Response(msgspec.json.encode(problem), error.status_code, media_type=MEDIA_TYPE, headers=error.headers)


async def _unknown_problem(request: Request, error: Exception) -> Response:
    log.error("a request failed", path=request.url.path, error=type(error).__name__)
    unexpected = KeysvcError("an unexpected error; the server's log names it")
    return Response(msgspec.json.encode(problem_of(unexpected)), 500, media_type=MEDIA_TYPE)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigurationError that says why not."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {'it is in use' if taken else error.strerror or error}",
            hint="stop what uses it, or set another HOST:PORT in the configuration file",
        ) from None


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
        await run_in_threadpool(self._before_end)
        await super().shutdown(sockets)


class Server:
    """One ASGI application on one socket, over TLS when there is a context. `run` blocks until `stop`, SIGTERM or
    SIGINT."""

    def __init__(
        self,
        app: Starlette,
        at: socket.socket,
        context: ssl.SSLContext | None,
        before_end: abc.Callable[[], None] = lambda: None,
    ) -> None:
        """`before_end` is called, in a thread, while requests that wait are still to be answered."""
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
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
