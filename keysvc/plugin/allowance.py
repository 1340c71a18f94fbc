"""How often one identity may do what is recorded: a burst, then so many a minute."""

from __future__ import annotations

import threading
import time
from collections import abc

from keysvc.errors import RateLimited

MANY = 10_000
"""From so many names on, those that have spent nothing lately are forgotten."""


class RateLimit:
    """A token bucket for each name. Thread-safe. `clock` is monotonic, in seconds."""

    def __init__(self, burst: int, per_minute: float, clock: abc.Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_minute / 60, clock
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def spend(self, name: str) -> None:
        """Raise RateLimited when `name` has used up what it may do now."""
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.get(name, now), now) + 1 / self._per_second
            if full_at - now > self._burst / self._per_second:
                raise RateLimited(f"{name} asks for too much in a short time")
            self._full_at[name] = full_at
            if len(self._full_at) > MANY:
                self._full_at = {each: at for each, at in self._full_at.items() if at > now}
