"""Applications that look credentials up all the time, and check what they get."""

from __future__ import annotations

import random
import threading
import time
from collections import abc
from types import TracebackType
from typing import Self

from keysvc.errors import KeysvcError
from keysvc.model import CredentialKey
from keysvc.web.agent.client import AgentClient

THREADS_PER_SERVER = 2
PAUSE_SECONDS = 0.005


class Lookups:
    """Threads of each SSO server's applications, from entering the context until `stop`. Thread-safe."""

    def __init__(
        self,
        agents: abc.Mapping[str, AgentClient],
        expected: abc.Mapping[CredentialKey, abc.Mapping[str, str]],
    ) -> None:
        self._agents = agents
        self._expected = expected
        self._keys = list(expected)
        self._lock = threading.Lock()
        self._stopping = {name: threading.Event() for name in agents}
        self._threads: dict[str, list[threading.Thread]] = {name: [] for name in agents}
        self.done = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        for name in self._agents:
            self.resume(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def resume(self, name: str) -> None:
        """Begin with one SSO server."""
        self._stopping[name].clear()
        self._threads[name] = [
            threading.Thread(target=self._look_up, args=(name,), daemon=True) for _ in range(THREADS_PER_SERVER)
        ]
        for thread in self._threads[name]:
            thread.start()

    def pause(self, name: str) -> None:
        """End with one SSO server, which is about to be restarted."""
        self._stopping[name].set()
        for thread in self._threads[name]:
            thread.join()

    def stop(self) -> None:
        """End with all. Repeatable."""
        for name in self._agents:
            self.pause(name)

    def _look_up(self, name: str) -> None:
        agent, stopping = self._agents[name], self._stopping[name]
        while not stopping.is_set():
            key = random.choice(self._keys)  # noqa: S311  spreads load
            try:
                found = agent.credential(key.application, user=key.user, fresh=True)
                right = {label: value.reveal() for label, value in found.fields.items()} == self._expected[key]
                failure = "" if right else f"{name}: another credential than was stored"
            except KeysvcError as error:
                failure = f"{name}: {error}"
            with self._lock:
                self.done += 1
                if failure:
                    self.failures.append(failure)
            time.sleep(PAUSE_SECONDS)
