"""How fast rows are re-encrypted: no faster than allowed, and measured by what was done lately."""

from __future__ import annotations

import threading
import time
from collections import abc, deque

WINDOW_SECONDS = 30.0
MEASURABLE_SECONDS = 0.5
SHARES_OF_A_SECOND = 4


class Pace:
    """Thread-safe. `clock` is monotonic, in seconds."""

    def __init__(self, clock: abc.Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = 0.0
        self._spent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()

    def allowed(self, per_second: int | None, most: int) -> int:
        """How many rows may be taken now: at most `most`, and 0 while it has to rest. A low limit is spent in small
        parts, several a second, so that the load is even."""
        now = self._clock()
        with self._lock:
            if not self._spent or now - self._spent[-1][0] > WINDOW_SECONDS:
                self._spent.clear()
                self._spent.append((now, 0))
        if per_second is None:
            return most
        return 0 if now < self._next else min(most, max(1, per_second // SHARES_OF_A_SECOND))

    def spend(self, rows: int, per_second: int | None) -> None:
        """So many were taken."""
        now = self._clock()
        with self._lock:
            self._spent.append((now, rows))
            while now - self._spent[0][0] > WINDOW_SECONDS:
                self._spent.popleft()
            self._next = max(self._next, now) + rows / per_second if per_second else now

    @property
    def rest_seconds(self) -> float:
        """Until rows are allowed again."""
        return max(0.0, self._next - self._clock())

    @property
    def rows_per_second(self) -> float | None:
        """Over the last half minute; None when nothing was done in it."""
        with self._lock:
            if not self._spent:
                return None
            began, ended = self._spent[0][0], self._clock()
            if ended - self._spent[-1][0] > WINDOW_SECONDS or ended - began < MEASURABLE_SECONDS:
                return None
            return sum(rows for _, rows in self._spent) / (ended - began)
