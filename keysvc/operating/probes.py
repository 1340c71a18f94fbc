"""The probes: a listener of their own, with an event loop of its own, so that it answers while the service hangs. What
is asked here is not audited, and no answer holds a name or a secret."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import abc
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs

from keysvc.installation.config import HTTPS, UNIX, Config, host_and_port
from keysvc.operating.health import Checks, Health
from keysvc.web.agent.local_socket import listen_at
from keysvc.web.asgi.exchange import ASGI, CONNECTED, NO_STORE, Connected, Receive, Response, Scope, Send
from keysvc.web.asgi.server import Server, listen
from keysvc.web.tls.identity_files import IdentityFiles

LIVE, READY, METRICS = "/livez", "/readyz", "/metrics"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metrics:
    """The metrics as text, and its media type."""

    media_type: str
    read: abc.Callable[[], bytes]


def probes_app(health: Health, metrics: Metrics | None = None, *, asks_certificate: bool = False) -> ASGI:
    """Answer /livez, /readyz and /metrics. With `asks_certificate`, answer certificates of this system alone."""

    def respond(path: str, query: bytes) -> Response:
        if path == LIVE:
            return _checked(health.live(), query)
        if path == READY:
            return _checked(health.ready(), query)
        if path == METRICS and metrics is not None:
            return _text(metrics.read(), media_type=metrics.media_type)
        return _text(b"there is nothing at this path\n", HTTPStatus.NOT_FOUND)

    async def serve(scope: Scope, _receive: Receive, send: Send) -> None:
        connected: Connected = scope[CONNECTED]
        if asks_certificate and connected.certificate is None:
            response = _text(b"a client certificate is needed\n", HTTPStatus.FORBIDDEN)
        elif scope["method"] not in {"GET", "HEAD"}:
            response = _text(b"ask with GET\n", HTTPStatus.METHOD_NOT_ALLOWED)
        else:
            response = respond(scope["path"], scope["query_string"])
        await response.send(send)

    return serve


def _checked(checks: Checks, query: bytes) -> Response:
    """Answer as Kubernetes' own probes do: one line, or with `?verbose` one for each check; always when one fails."""
    is_well = all(check.is_well for check in checks)
    lines = [str(check) for check in checks] if not is_well or b"verbose" in _names(query) else []
    text = "\n".join([*lines, "ok" if is_well else "failed", ""])
    return _text(text.encode(), HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE)


def _names(query: bytes) -> abc.Collection[bytes]:
    return parse_qs(query, keep_blank_values=True)


def _text(content: bytes, status: int = HTTPStatus.OK, *, media_type: str = TEXT) -> Response:
    length = str(len(content)).encode()
    return Response(status, ((b"content-length", length), (b"content-type", media_type.encode()), NO_STORE), content)


@contextlib.contextmanager
def answered(
    config: Config, identity: IdentityFiles, health: Health, metrics: Metrics | None = None
) -> abc.Iterator[None]:
    """Answer probes where the configuration says, while the context lasts. Raises ConfigurationError."""
    if config.probes is None:
        yield
        return
    at, context = _listening(config, config.probes, identity)
    with (
        at,
        Server(probes_app(health, metrics, asks_certificate=context is not None), at, context).in_background("probes"),
    ):
        yield


def _listening(config: Config, where: str, identity: IdentityFiles) -> tuple[socket.socket, ssl.SSLContext | None]:
    if where.startswith(UNIX):
        return listen_at(config.resolve(where.removeprefix(UNIX))), None
    if where.startswith(HTTPS):
        return listen(*host_and_port("probes", where.removeprefix(HTTPS))), identity.server_context()
    return listen(*host_and_port("probes", where)), None
