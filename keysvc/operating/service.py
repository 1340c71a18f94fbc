"""A service as those who run it see it: a heart that asks its threads, health made of that, and a supervisor who is
told of both."""

from __future__ import annotations

from collections import abc
from types import TracebackType
from typing import Self

from keysvc.operating.health import LIVE_SECONDS, Health, Look
from keysvc.operating.systemd import Supervisor
from keysvc.plugin.heartbeat import BEAT_SECONDS, Heart


class Service:
    """From the start of the process to its end; a context manager, because the heart is a thread."""

    def __init__(self, interval: float = BEAT_SECONDS) -> None:
        """Ask each thread every second, or every `interval` seconds where that is less."""
        self.supervisor = Supervisor()
        self.heart = Heart(self._after_beat, interval=min(interval, BEAT_SECONDS))
        self.health = Health(self.heart)

    def __enter__(self) -> Self:
        self.heart.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stops()
        self.heart.stop()

    def serves(self, look: Look) -> None:
        """The service is up; `look` says whether it is ready."""
        self.health.serves(look)
        self.supervisor.ready()

    def stops(self) -> None:
        """The service ends. Idempotent."""
        self.health.stops()
        self.supervisor.stopping()

    def reload(self, reload: abc.Callable[[], object]) -> None:
        """Read settings again, and say so meanwhile."""
        self.supervisor.reloading()
        try:
            reload()
        finally:
            self.supervisor.ready()

    def _after_beat(self) -> None:
        """The watchdog is fed by the heart, not by renewals of the lease: an outage of the database restarts nobody."""
        if not self.heart.silent(LIVE_SECONDS):
            self.supervisor.alive()
        if self.supervisor.is_there:
            problems = [f"{check.name} {check.problem}" for check in self.health.ready() if check.problem]
            self.supervisor.status("; ".join(problems) or "ready")
