"""Threads that last as long as their process: none dies alone."""

from __future__ import annotations

import threading
import time
from collections import abc

from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.background")
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0


def lasting(name: str, work: abc.Callable[[], None], is_over: abc.Callable[[], bool]) -> threading.Thread:
    """A daemon thread, not started, that ends when `work` returns. Whatever `work` raises is logged by its kind, and
    `work` begins again after a pause, unless `is_over`."""

    def run() -> None:
        pause = FIRST_PAUSE_SECONDS
        while not is_over():
            try:
                work()
            except Exception as error:  # noqa: BLE001  a thread must not end in silence
                problem = getattr(error, "strerror", None) or type(error).__name__
                log.error("a background task failed, and begins again", task=name, problem=problem)
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                return

    return threading.Thread(target=run, name=name, daemon=True)
