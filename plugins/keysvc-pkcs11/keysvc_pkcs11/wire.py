"""What the keysvc process and the token's own process say to each other over two pipes: lists of byte strings, each
with its length before it. Nothing that is received can run."""

from __future__ import annotations

from collections import abc
from typing import BinaryIO

MAX_BYTES = 1024 * 1024
_LENGTH_BYTES = 4


class BrokenMessage(ValueError):
    """The other side wrote something else, or stopped in the middle."""


def write(stream: BinaryIO, parts: abc.Iterable[bytes]) -> None:
    """One message, at once."""
    body = b"".join(_length(part) + part for part in parts)
    rest = memoryview(_length(body) + body)
    while rest:
        rest = rest[stream.write(rest) :]
    stream.flush()


def read(stream: BinaryIO) -> list[bytes] | None:
    """The next message; None when the other side has closed. Raises BrokenMessage."""
    head = _read_exactly(stream, _LENGTH_BYTES)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < _LENGTH_BYTES or length > MAX_BYTES:
        raise BrokenMessage
    body = _read_exactly(stream, length)
    if len(body) < length:
        raise BrokenMessage
    return list(_parts(body))


def _read_exactly(stream: BinaryIO, count: int) -> bytes:
    """Less only where the stream ends. A pipe hands over what it has, which may be a part."""
    read = b""
    while len(read) < count and (more := stream.read(count - len(read))):
        read += more
    return read


def _parts(body: bytes) -> abc.Iterator[bytes]:
    start = 0
    while start < len(body):
        begins = start + _LENGTH_BYTES
        start = begins + int.from_bytes(body[start:begins], "big")
        if len(body) < max(begins, start):
            raise BrokenMessage
        yield body[begins:start]


def _length(part: bytes) -> bytes:
    return len(part).to_bytes(_LENGTH_BYTES, "big")
