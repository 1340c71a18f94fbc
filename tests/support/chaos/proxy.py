"""A network that can be cut: a TCP proxy of one thread for any number of ways from one process to another."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import abc


class Way:
    """One way. `target` is asked at each connection; None refuses it."""

    def __init__(self, network: Network, target: abc.Callable[[], int | None]) -> None:
        self._network, self._target = network, target
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    def cut(self, *, silently: bool) -> None:
        """Reset every connection and refuse new ones; `silently`, let what is sent wait, as a network that drops."""
        self._network.run(self._cut, silently)

    def heal(self) -> None:
        """Let everything pass again."""
        self._network.run(self._heal)

    async def serve(self) -> None:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]

    def _cut(self, silently: bool) -> None:
        if silently:
            self._open.clear()
            return
        self._refusing = True
        self.reset()

    def _heal(self) -> None:
        self._refusing = False
        self._open.set()

    def reset(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            async with self._aborted_at_the_end(writer):
                await self._open.wait()
                port = None if self._refusing else self._target()
                if port is not None:
                    await self._join(reader, writer, port)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        try:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return
        async with self._aborted_at_the_end(other_writer):
            await asyncio.gather(self._pump(reader, other_writer), self._pump(other_reader, writer))

    @contextlib.asynccontextmanager
    async def _aborted_at_the_end(self, writer: asyncio.StreamWriter) -> abc.AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while data := await reader.read(65536):
                    await self._open.wait()
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.close()


class Ways:
    """From one process to several, cut and healed together."""

    def __init__(self, ways: abc.Sequence[Way]) -> None:
        self._ways = ways

    def cut(self, *, silently: bool) -> None:
        for way in self._ways:
            way.cut(silently=silently)

    def heal(self) -> None:
        for way in self._ways:
            way.heal()


class Network:
    """Every way, on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self.ways: list[Way] = []

    def way(self, target: abc.Callable[[], int | None]) -> Way:
        """A new one, open."""
        way = Way(self, target)
        asyncio.run_coroutine_threadsafe(way.serve(), self._loop).result(10)
        self.ways.append(way)
        return way

    def run(self, what: abc.Callable[..., None], *arguments: object) -> None:
        """In the network's thread."""

        async def now() -> None:
            what(*arguments)

        asyncio.run_coroutine_threadsafe(now(), self._loop).result(10)

    def close(self) -> None:
        """Cut everything for good."""

        async def end() -> None:
            for way in self.ways:
                way.server.close()
                way.reset()
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:  # one that ends may have begun another
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            for _ in range(3):  # a transport that was aborted closes its socket in a later turn of the loop
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
