"""What every application here is made of, in ASGI's words: who is connected, a request's body, an answer."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import socket
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import msgspec

from keysvc.crypto.certificates import Peer, peer_of
from keysvc.errors import AccessDenied, InvalidInput, KeysvcError
from keysvc.logs import get_logger
from keysvc.model import acting_from
from keysvc.web.problems import MEDIA_TYPE, Problem, problem_of

log = get_logger("keysvc.web")
MAXIMUM_BODY_BYTES = 2 * 1024 * 1024
MAXIMUM_THREADS = 40
CONNECTED = "keysvc.connected"
"""Where a request's scope has its `Connected`."""

Scope = abc.MutableMapping[str, Any]
Receive = abc.Callable[[], abc.Awaitable[abc.MutableMapping[str, Any]]]
Send = abc.Callable[[abc.MutableMapping[str, Any]], abc.Awaitable[None]]
ASGI = abc.Callable[[Scope, Receive, Send], abc.Awaitable[None]]
P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(slots=True)
class Connected:
    """One connection: the verified client certificate (DER), or the UNIX socket, and where it comes from."""

    certificate: bytes | None = None
    local_socket: socket.socket | None = None
    address: str = ""
    _peer: Peer | None = None

    def peer(self) -> Peer:
        """Who calls. Raises AccessDenied without a client certificate of this system's authority."""
        if self.address:
            acting_from(self.address)
        if self._peer is None:
            if self.certificate is None:
                raise AccessDenied(
                    "a client certificate is needed", hint="enrol this machine: keysvc join URL --token TOKEN"
                )
            self._peer = peer_of(self.certificate)
        return self._peer


def connected(scope: Scope) -> Connected:
    """Of a request."""
    found: Connected = scope[CONNECTED]
    return found


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. JSON, unless `media_type` says otherwise."""

    status: int
    content: bytes = b""
    headers: abc.Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    async def send(self, send: Send) -> None:
        """As ASGI has it."""
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.headers.items()]
        if self.status not in {204, 304}:
            headers.append((b"content-length", b"%d" % len(self.content)))
            headers.append((b"content-type", self.media_type.encode("ascii")))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content})


def answer(content: Any, status: int = 200, headers: abc.Mapping[str, str] | None = None) -> Response:
    """JSON that no cache keeps."""
    return Response(status, msgspec.json.encode(content), {"cache-control": "no-store", **(headers or {})})


def problem(found: Problem, headers: abc.Mapping[str, str] | None = None) -> Response:
    """An error as RFC 9457 has it."""
    return Response(found.status, msgspec.json.encode(found), headers or {}, MEDIA_TYPE)


def refusal(error: KeysvcError, path: str) -> Response:
    """What an error that was foreseen is answered with."""
    found = problem_of(error)
    log.info("refused", path=path, code=found.code, problem=found.detail)
    return problem(found)


def failure(error: Exception, path: str) -> Response:
    """What an error that nobody foresaw is answered with: nothing of it is told but its kind, in the log."""
    log.error("a request failed", path=path, error=type(error).__name__)
    return problem(problem_of(KeysvcError("an unexpected error; the server's log names it")))


async def read_body(receive: Receive) -> bytes:
    """Raises InvalidInput for more than 2 MiB, and when the caller is gone before its end."""
    content = b""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidInput("the request ended before its body did")
        content += message.get("body", b"")
        if len(content) > MAXIMUM_BODY_BYTES:
            raise InvalidInput(f"the body is larger than {MAXIMUM_BODY_BYTES} bytes")
        more = message.get("more_body", False)
    return content


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAXIMUM_THREADS, "request")


async def in_thread(function: abc.Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """What may block, in a thread with the context of this task."""
    call = functools.partial(contextvars.copy_context().run, function, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)
