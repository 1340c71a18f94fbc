"""Connections that have not shown a certificate: how many there may be, and who makes room for the next."""

from __future__ import annotations

import asyncio
import contextlib
from collections import abc

MAXIMUM_STRANGERS = 64
MAXIMUM_HANDSHAKES = 256
HANDSHAKE_GRACE_SECONDS = 0.25
"""No handshake that is so young makes room: after a restart, every SSO server comes back at the same time."""

Drop = abc.Callable[[], object]


class Strangers:
    """Those whose handshake goes on, and those who got through it without a certificate. There is a limit for each;
    whoever came first makes room for the next, so that holding on keeps nobody out."""

    def __init__(self) -> None:
        self._arriving: dict[object, tuple[float, Drop]] = {}
        self._unknown: dict[object, Drop] = {}
        self._left = asyncio.Event()

    def __len__(self) -> int:
        """How many there are of both."""
        return len(self._arriving) + len(self._unknown)

    def arrives(self, who: object, drop: Drop) -> None:
        """Its handshake begins; `drop` ends it."""
        self._arriving[who] = asyncio.get_running_loop().time(), drop

    def is_unknown(self, who: object, drop: Drop) -> None:
        """It showed no certificate."""
        if len(self._unknown) >= MAXIMUM_STRANGERS:
            self._drop_unknown()
        self._unknown[who] = drop

    def leaves(self, who: object) -> None:
        """It is known now, or closed. Repeatable."""
        if self._arriving.pop(who, None):
            self._left.set()
        self._unknown.pop(who, None)

    async def room(self, handshakes: int) -> None:
        """Wait until fewer handshakes go on than this; the oldest has to make room, unless it is young."""
        now = asyncio.get_running_loop().time
        while len(self._arriving) >= min(handshakes, MAXIMUM_HANDSHAKES):
            who, (began, drop) = next(iter(self._arriving.items()))
            grace = began + HANDSHAKE_GRACE_SECONDS - now()
            if grace <= 0:
                del self._arriving[who]
                drop()
                continue
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._left.wait()

    def drop_one(self) -> bool:
        """Whether there was one to close: descriptors have run out."""
        if self._unknown:
            self._drop_unknown()
        elif self._arriving:
            who = next(iter(self._arriving))
            self._arriving.pop(who)[1]()
        else:
            return False
        return True

    def _drop_unknown(self) -> None:
        who = next(iter(self._unknown))
        self._unknown.pop(who)()
