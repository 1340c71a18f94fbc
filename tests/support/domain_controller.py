"""A server on a UNIX socket that answers as a domain controller does where slapd cannot: a little of LDAP by hand."""

from __future__ import annotations

import socket
import threading
import time
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

BASE = "dc=nordwind,dc=example"
BIND, SEARCH, BOUND, ENTRY, DONE = 0x60, 0x63, 0x61, 0x64, 0x65
SUBTREE = 2


@dataclass(frozen=True)
class Search:
    """What a client asks for."""

    number: int
    base: str
    scope: int
    matching: bytes
    attributes: tuple[str, ...]


Answer = abc.Callable[[Search], bytes]


@dataclass
class DomainController:
    """Answers each search with what `answer` returns, `delay` seconds after it has arrived, one after the other."""

    path: Path
    answer: Answer
    delay: float = 0.0
    searches: list[Search] = field(default_factory=list)

    def __enter__(self) -> DomainController:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(self.path))
        self._listening.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def url(self, **options: str) -> str:
        ours = {"groups": "memberof", "user-attribute": "sAMAccountName", "group-attribute": "sAMAccountName"}
        return f"ldapi://{quote(str(self.path), safe='')}/{BASE}?{urlencode({**ours, **options})}"

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            try:
                while message := _message(stream):
                    number, (tag, body) = int.from_bytes(message[0][1]), message[1]
                    time.sleep(self.delay)
                    if tag == BIND:
                        client.sendall(result(number, tag=BOUND))
                    elif tag == SEARCH:
                        parts = _parts(body)
                        attributes = tuple(name.decode() for _, name in _parts(parts[7][1]))
                        search = Search(number, parts[0][1].decode(), parts[1][1][0], parts[6][1], attributes)
                        self.searches.append(search)
                        client.sendall(self.answer(search))
                    else:
                        return
            except OSError:
                return


def entry(number: int, dn: str, **attributes: list[str]) -> bytes:
    """A search result entry."""
    listed = b"".join(
        _tlv(0x30, _text(name) + _tlv(0x31, b"".join(map(_text, values)))) for name, values in attributes.items()
    )
    return _tlv(0x30, _number(number) + _tlv(ENTRY, _text(dn) + _tlv(0x30, listed)))


def result(number: int, code: int = 0, referral: str = "", *, tag: int = DONE) -> bytes:
    """The end of an answer."""
    where = _tlv(0xA3, _text(referral)) if referral else b""
    return _tlv(0x30, _number(number) + _tlv(tag, _tlv(0x0A, bytes([code])) + _text("") + _text("") + where))


def group(number: int) -> str:
    return f"CN=G{number},OU=Groups,{BASE}"


def _tlv(tag: int, body: bytes) -> bytes:
    length = len(body).to_bytes(4)
    return bytes([tag]) + (length[3:] if len(body) < 128 else b"\x84" + length) + body


def _text(text: str) -> bytes:
    return _tlv(4, text.encode())


def _number(number: int) -> bytes:
    return _tlv(2, number.to_bytes(4))


def _message(stream: Any) -> list[tuple[int, bytes]]:
    head = stream.read(2)
    if len(head) < 2:
        return []
    length = head[1] if head[1] < 128 else int.from_bytes(stream.read(head[1] & 127))
    return _parts(stream.read(length))


def _parts(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 128:
            size = length & 127
            length, at = int.from_bytes(data[at : at + size]), at + size
        found.append((tag, data[at : at + length]))
        at += length
    return found
