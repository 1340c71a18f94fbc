"""Death at every line: proves that what a piece of code writes survives SIGKILL wherever it strikes."""

from __future__ import annotations

import os
import signal
import sys
from collections import abc
from types import FrameType, ModuleType
from typing import Any

LIFETIME_SECONDS = 60
"""A child that hangs is ended, and fails the test."""


def die_at_every_line(
    run: abc.Callable[[], object],
    check: abc.Callable[[int], object],
    modules: abc.Collection[ModuleType],
    *,
    step: int = 1,
) -> int:
    """Run `run` in a child process that kills itself at its n-th line of code in `modules`, for n = `step`, 2 × `step`,
    … until it lives; call `check(n)` here after each death. `run` must be repeatable from whatever a death leaves.
    Returns how many times it died. POSIX only."""
    files = {module.__file__ for module in modules}
    deaths = 0
    while _dies_at((deaths + 1) * step, run, files):
        deaths += 1
        check(deaths)
    return deaths


def _dies_at(line: int, run: abc.Callable[[], object], files: abc.Collection[str | None]) -> bool:
    child = os.fork()
    if child == 0:
        left = line

        def trace(frame: FrameType, what: str, _argument: Any) -> Any:
            nonlocal left
            if frame.f_code.co_filename not in files:
                return None
            if what == "line":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        signal.alarm(LIFETIME_SECONDS)
        try:
            sys.settrace(trace)
            run()
        except BaseException:  # noqa: BLE001  a child that fails must not go on as a second parent
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise AssertionError(f"the child ended with status {status} before it could be killed at line {line}")
    return status != 0
