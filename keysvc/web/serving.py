"""Running an ASGI application over mutual TLS, and telling it who is calling."""

from __future__ import annotations

import errno
import logging
import signal
import socket
import ssl
from collections import abc
from typing import Any, TypeVar, cast

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
from keysvc.web.problems import MEDIA_TYPE, Problem, problem_of

log = structlog.get_logger("keysvc.web")
MAXIMUM_BODY_BYTES = 2 * 1024 * 1024
KEEP_ALIVE_SECONDS = 75
Answer = TypeVar("Answer", bound=msgspec.Struct)


class _MutualTLSProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which puts the verified client certificate (DER) into each request's scope.

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
        application = self.app

        async def with_certificate(scope: Any, receive: Any, send: Any) -> None:
            scope["keysvc.certificate"] = certificate
            await application(scope, receive, send)

        self.app = with_certificate


def peer(request: Request) -> Peer:
    """Who calls. Raises AccessDenied without a client certificate of this system's authority."""
    certificate = request.scope.get("keysvc.certificate")
    if certificate is None:
        raise AccessDenied("a client certificate is needed", hint="enrol this machine: keysvc join URL --token TOKEN")
    return peer_of(certificate)


async def body(request: Request, kind: type[Answer]) -> Answer:
    """The request's body. Raises InvalidInput."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAXIMUM_BODY_BYTES:
            raise InvalidInput(f"the body is larger than {MAXIMUM_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        what = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise InvalidInput(f"the body cannot be used: {what}") from None


def query(request: Request, *names: str) -> list[str]:
    """The values of query parameters. Raises InvalidInput for one that is missing or empty."""
    values = [request.query_params.get(name, "") for name in names]
    for name, value in zip(names, values, strict=True):
        if not value:
            raise InvalidInput(f"the query needs {name}")
    return values


def answer(content: Any, status: int = 200) -> Response:
    """JSON that no cache keeps."""
    return Response(
        msgspec.json.encode(content), status, media_type="application/json", headers={"Cache-Control": "no-store"}
    )


NOTHING = Response(status_code=204)
in_thread = run_in_threadpool


def application(routes: abc.Sequence[Route]) -> Starlette:
    """An ASGI application whose every error is a problem."""
    return Starlette(
        routes=routes,
        exception_handlers={KeysvcError: _known_problem, HTTPException: _http_problem, Exception: _unknown_problem},
    )


async def _known_problem(request: Request, error: Exception) -> Response:
    problem = problem_of(cast(KeysvcError, error))
    log.info("refused", path=request.url.path, code=problem.code, problem=problem.title)
    return Response(msgspec.json.encode(problem), problem.status, media_type=MEDIA_TYPE)


async def _http_problem(request: Request, raised: Exception) -> Response:
    error = cast(HTTPException, raised)
    if error.status_code == 404:
        return await _known_problem(
            request, NotFound("there is nothing at this path", hint="see docs/reference/http.md")
        )
    problem = Problem(error.detail, error.status_code, "http")
    return Response(msgspec.json.encode(problem), error.status_code, media_type=MEDIA_TYPE, headers=error.headers)


async def _unknown_problem(request: Request, error: Exception) -> Response:
    log.error("a request failed", path=request.url.path, error=type(error).__name__)
    problem = Problem("an unexpected error; the server's log names it", 500, "error")
    return Response(msgspec.json.encode(problem), 500, media_type=MEDIA_TYPE)


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


class TLSServer:
    """One ASGI application on one socket. `run` blocks until `stop`, SIGTERM or SIGINT."""

    def __init__(self, app: Starlette, at: socket.socket, context: ssl.SSLContext) -> None:
        config = uvicorn.Config(
            app,
            http=_MutualTLSProtocol,
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
        self._server = uvicorn.Server(config)
        self._socket = at

    def run(self) -> None:
        """Serve."""
        # uvicorn repeats the signal that ended it: the caller still has to release its lease then.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """From any thread."""
        self._server.should_exit = True
