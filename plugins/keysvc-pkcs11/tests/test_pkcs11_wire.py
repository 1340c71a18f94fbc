"""Two processes that do not trust each other's bytes."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings, strategies as st
from keysvc_pkcs11 import wire


class Dripping(io.BytesIO):
    """Hands over one byte at a time, as a pipe may."""

    def read(self, count: int | None = -1) -> bytes:
        return super().read(min(count or 0, 1))


@settings(deadline=None)  # a machine that is busy is no mistake
@given(st.lists(st.lists(st.binary(max_size=50), max_size=5), max_size=5))
def test_what_is_written_is_read(messages: list[list[bytes]]) -> None:
    pipe = io.BytesIO()
    for message in messages:
        wire.write(pipe, message)
    dripping = Dripping(pipe.getvalue())
    assert [wire.read(dripping) for _ in messages] == messages
    assert wire.read(dripping) is None


@settings(deadline=None)  # a machine that is busy is no mistake
@given(st.binary(max_size=60))
def test_anything_else_is_a_message_or_refused(noise: bytes) -> None:
    try:
        read = wire.read(io.BytesIO(noise))
    except wire.BrokenMessage:
        return
    assert read is None or all(isinstance(part, bytes) for part in read)


def test_a_message_that_ends_too_soon_or_is_too_long_is_refused() -> None:
    pipe = io.BytesIO()
    wire.write(pipe, [b"one", b"two"])
    for length in range(1, len(pipe.getvalue())):
        with pytest.raises(wire.BrokenMessage):
            wire.read(io.BytesIO(pipe.getvalue()[:length]))
    with pytest.raises(wire.BrokenMessage):
        wire.read(io.BytesIO(b"\xff\xff\xff\xff"))
