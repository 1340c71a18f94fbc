"""What every application here is made of, in ASGI's words: who is connected, a request's body, an answer."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import socket
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import msgspec

from keysvc.crypto.certificates import Peer, peer_of
from keysvc.errors import AccessDenied, InvalidInput, KeysvcError, NotActive, NotFound
from keysvc.model import Identity, Role, acting_from
from keysvc.plugin.logs import Limited, get_logger
from keysvc.sso.permissions import Principal
from keysvc.web.asgi.problems import MEDIA_TYPE, Problem, problem_of

log = get_logger("keysvc.web")
LINES_A_SECOND = 10
STRANGERS_LOG = Limited(log, LINES_A_SECOND)
CALLERS_LOG = Limited(log, LINES_A_SECOND)
"""What callers with a certificate are refused is not hidden by what strangers are."""
MAXIMUM_BODY_BYTES = 2 * 1024 * 1024
MAXIMUM_STRANGERS_BODY_BYTES = 64 * 1024
MAXIMUM_THREADS = 40
CONNECTED = "keysvc.connected"
"""Where a request's scope has its `Connected`."""

Scope = abc.MutableMapping[str, Any]
Receive = abc.Callable[[], abc.Awaitable[abc.MutableMapping[str, Any]]]
Send = abc.Callable[[abc.MutableMapping[str, Any]], abc.Awaitable[None]]
Headers = abc.Sequence[tuple[bytes, bytes]]
ASGI = abc.Callable[[Scope, Receive, Send], abc.Awaitable[None]]
P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Caller(Principal):
    """Who calls; its certificate has the `serial`."""

    serial: str = ""


NOBODY = Caller("", Role.APPLICATION)


@dataclass(slots=True)
class Connected:
    """One connection: the verified client certificate (DER), or the UNIX socket, and where it comes from. It remembers
    what was made of that: most connections are kept."""

    certificate: bytes | None = None
    local_socket: socket.socket | None = None
    address: str = ""
    _peer: Peer | None = None
    _identity: Identity | None = None
    _caller: Caller = NOBODY
    is_known: bool = False
    """Whether it has a certificate, or an account, that the server may answer; all others are strangers."""

    @property
    def maximum_body_bytes(self) -> int:
        """Of one request."""
        return MAXIMUM_BODY_BYTES if self.is_known else MAXIMUM_STRANGERS_BODY_BYTES

    def caller(self, admit: abc.Callable[[Peer], Identity], roles: abc.Collection[Role]) -> Caller:
        """Whom `admit` lets in, for each request anew. Raises AccessDenied without a client certificate of this
        system's authority, and unless it has one of the roles."""
        if self.address:
            acting_from(self.address)
        peer = self._peer or self._read_peer()
        identity = admit(peer)
        if identity.role not in roles:
            wanted = " or ".join(role.value for role in roles)
            raise AccessDenied(f"{identity.name} has the role {identity.role.value}, and this needs {wanted}")
        if identity is not self._identity:
            self._identity, self._caller = identity, Caller(identity.name, identity.role, peer.serial)
        return self._caller

    def _read_peer(self) -> Peer:
        if self.certificate is None:
            raise AccessDenied(
                "a client certificate is needed", hint="enrol this machine: keysvc join URL --token-file FILE"
            )
        self._peer = peer_of(self.certificate)
        return self._peer


class Response(msgspec.Struct, frozen=True):
    """A whole answer, with all its headers."""

    status: int
    headers: Headers = ()
    content: bytes = b""

    async def send(self, send: Send) -> None:
        """As ASGI has it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.content})


NO_STORE = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", MEDIA_TYPE.encode("ascii"))


def etag(text: str) -> tuple[bytes, bytes]:
    """As a header."""
    return b"etag", text.encode("ascii")


def answer(content: Any, status: int = 200, *headers: tuple[bytes, bytes]) -> Response:
    """JSON that no cache keeps."""
    return whole(msgspec.json.encode(content), status, NO_STORE, *headers)


def whole(content: bytes, status: int, *headers: tuple[bytes, bytes]) -> Response:
    """JSON that is encoded already."""
    return Response(status, (_length(content), _JSON, *headers), content)


def problem(found: Problem, *headers: tuple[bytes, bytes]) -> Response:
    """An error as RFC 9457 has it."""
    content = msgspec.json.encode(found)
    return Response(found.status, (_length(content), _PROBLEM, *headers), content)


def _length(content: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(content)


def refusal(error: KeysvcError, path: str, *, is_known: bool) -> Response:
    """What an error that was foreseen is answered with."""
    found = problem_of(error)
    limited = CALLERS_LOG if is_known else STRANGERS_LOG
    if isinstance(error, NotActive):  # a standby's usual answer, which every server may ask for at each poll
        limited.info_if_new("refused", code=found.code, problem=found.detail)
        return problem(found)
    repeats_what_was_sent = isinstance(error, InvalidInput | NotFound)  # a secret may have been typed in its place
    problems = {} if repeats_what_was_sent else {"problem": found.detail}
    limited.info("refused", path=path, code=found.code, **problems)
    return problem(found)


def failure(error: Exception, path: str) -> Response:
    """What an error that nobody foresaw is answered with: nothing of it is told but its kind, in the log."""
    log.error("a request failed", path=path, error=type(error).__name__)
    return problem(problem_of(KeysvcError("an unexpected error; the server's log names it")))


async def read_body(receive: Receive, maximum: int = MAXIMUM_BODY_BYTES) -> bytes:
    """Raises InvalidInput for more than `maximum` bytes, and when the caller is gone before its end."""
    content = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise InvalidInput("the request ended before its body did")
        content += message.get("body", b"")
        if len(content) > maximum:
            raise InvalidInput(f"the body is larger than {maximum} bytes")
        more = message.get("more_body", False)
    return bytes(content)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAXIMUM_THREADS, "request")


async def in_thread(function: abc.Callable[P, Result], *arguments: P.args, **named: P.kwargs) -> Result:
    """What may block, in a thread with the context of this task."""
    call = functools.partial(contextvars.copy_context().run, function, *arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_threads(), call)
