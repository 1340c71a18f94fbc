"""The least that a server of keysvc can do: say the same to everybody."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
from collections import abc
from pathlib import Path
from typing import Any

from keysvc.web.asgi.server import Server, listen
from keysvc.web.tls.identity_files import IdentityFiles


@contextlib.contextmanager
def constant(port: int, identity: Path, answer: bytes) -> abc.Iterator[int]:
    """keysvc's own server over mutual TLS with an application that says `answer`, whatever is asked; its process id."""
    at = listen("127.0.0.1", port)  # here: who connects before it serves is kept waiting, not refused
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(at, identity, answer), daemon=True)
    process.start()
    at.close()
    try:
        yield process.pid or 0
    finally:
        process.kill()
        process.join()


def _serve(at: socket.socket, identity: Path, answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    headers = [tuple(line.split(b": ", 1)) for line in lines]
    start = {"type": "http.response.start", "status": int(status.split()[1]), "headers": headers}

    async def say(_scope: Any, _receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "http.response.body", "body": body})

    Server(say, at, IdentityFiles(identity).server_context()).run()
