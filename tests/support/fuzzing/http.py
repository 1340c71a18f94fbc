"""The target that is one connection of HTTP/1.1 without a network: bytes in pieces, and what is answered to them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import abc
from pathlib import Path
from typing import Any

from fuzzing.servers import AGENT, MASTER, WORDS
from fuzzing.target import Call, Target, Way
from keysvc.web.asgi import http1
from keysvc.web.asgi.exchange import Connected, Receive, Response, Scope, Send

BUFFERED = http1.MAXIMUM_BUFFERED_BYTES + 2**18  # of a body that the application does not read, and a piece more
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n")


class Broken(Exception):
    """A promise of the server is not kept."""


class _Transport:
    """What asyncio gives a connection."""

    def __init__(self) -> None:
        self.written, self.is_over, self.reads = b"", False, True

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def close(self) -> None:
        self.is_over = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_over


class _Company:
    """Knows everybody, and lets nothing go wrong unseen."""

    def __init__(self) -> None:
        self.refusals = 0
        self.error: Exception | None = None

    def knows(self, _connected: Connected) -> bool:
        return True

    def joined(self, _connection: object) -> None: ...

    def left(self, _connection: object) -> None: ...

    def refused(self, _connection: object, _status: int, _why: str) -> None:
        self.refusals += 1

    def failed(self, error: Exception) -> None:
        self.error = error


async def _fed(content: bytes) -> Way:
    begun: list[bytes] = []
    company, transport = _Company(), _Transport()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["raw_path"])
        message: Any = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
        await Response(200, (), b"x").send(send)

    connection = http1.HttpConnection(app, company)
    connection.connection_made(transport)
    size = max(1 + (content[0] if content else 0) * 64, len(content) // 1024)
    for at in range(1, len(content), size):
        if transport.is_over or not transport.reads:
            break
        connection.data_received(content[at : at + size])
        await asyncio.sleep(0)
        kept = connection._receiving.body if connection._receiving else b""
        if len(kept) > BUFFERED or len(connection._ahead) > http1.MAXIMUM_AHEAD + 1:
            raise Broken("it keeps more than it may")
    for _ in range(8 + 2 * http1.MAXIMUM_AHEAD):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    await asyncio.sleep(0)
    if company.error is not None:
        raise company.error
    statuses = ANSWER.findall(transport.written)
    if transport.written and not transport.written.startswith(b"HTTP/1.1 "):
        raise Broken("an answer does not begin as one")
    if len([each for each in statuses if each != b"100"]) > len(begun) + company.refusals:
        raise Broken("there are more answers than requests")
    return Way((tuple(statuses), len(begun), company.refusals, transport.is_over))


@contextlib.contextmanager
def _http(_folder: Path) -> abc.Iterator[Call]:
    with asyncio.Runner() as runner:
        yield lambda content: runner.run(_fed(content))


HEADS = (
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\n\r\n" * 20,
    b"GET http://x/y HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\nGET / HTTP/1.1\r\n\r\n",
)
HTTP = Target(
    "http",
    _http,
    [bytes([size]) + head for size in (0, 1, 255) for head in (*HEADS, *AGENT, *MASTER)],
    WORDS,
    maximum=2**17,
)
