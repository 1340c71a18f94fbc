"""Requests that wait for a change: any number of them, each costs a few hundred bytes and no thread."""

from __future__ import annotations

import asyncio
import contextlib


class ChangeSignal:
    """Lasts until the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def end(self) -> None:
        """In the event loop."""
        self._event.set()

    async def passes(self, seconds: float) -> None:
        """Wait for its end, or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()


class Waiting:
    """All who wait for the same changes."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._moment = ChangeSignal()

    def serve(self) -> None:
        """In the event loop, before the first request."""
        self._loop = asyncio.get_running_loop()

    def moment(self) -> ChangeSignal:
        """The present one. Take it, look at what there is, then let it pass: so no change is missed."""
        self._loop = asyncio.get_running_loop()
        return self._moment

    def changed(self) -> None:
        """Wake everyone. Any thread may call it."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended, and everyone with it
                self._loop.call_soon_threadsafe(self._end_moment)

    def _end_moment(self) -> None:
        moment, self._moment = self._moment, ChangeSignal()
        moment.end()
