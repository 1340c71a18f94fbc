"""Death at every line: proves that what a piece of code writes survives SIGKILL wherever it strikes."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections import Counter, abc
from dataclasses import dataclass
from types import FrameType, FunctionType, ModuleType
from typing import Any

LIFETIME_SECONDS = 60
"""A child that hangs is ended, and fails the test."""


Code = ModuleType | FunctionType
"""Where death strikes: in all of a module, or in one function of it and not in what that calls."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of code, and the function that it is in."""

    file: str
    line: int
    function: str


def die_at_every_line(
    run: abc.Callable[[], object],
    check: abc.Callable[[int], object],
    where: abc.Collection[Code],
    *,
    step: int = 1,
) -> int:
    """Run `run` in a child process that kills itself at its n-th line of code in `where`, for n = `step`, 2 × `step`,
    … until it lives; call `check(n)` here after each death. `run` must be repeatable from whatever a death leaves.
    Returns how many times it died. POSIX only."""
    deaths = 0
    while _dies_at((deaths + 1) * step, run, where):
        deaths += 1
        check(deaths)
    return deaths


def die_at_every_statement(run: abc.Callable[[], object], check: abc.Callable[[int], object], *, step: int = 1) -> int:
    """As `die_at_every_line`: before the n-th statement or commit that `run` sends to a database by SQLAlchemy. Returns
    0 for a `run` that sends less than `step`."""
    deaths = 0
    while _dies_at_statement((deaths + 1) * step, run):
        deaths += 1
        check(deaths)
    return deaths


def places(run: abc.Callable[[], object], where: abc.Collection[Code]) -> dict[Place, int]:
    """Where `run` passes in `where`, in any of its threads, and how often; it runs in a child process."""
    reading, writing = os.pipe()

    def listed() -> None:
        passed: Counter[tuple[str, int, str]] = Counter()
        _trace_threads(where, lambda *place: passed.update([place]))
        run()
        _stop_tracing()
        with open(writing, "w", encoding="ascii") as pipe:
            json.dump(list(passed.items()), pipe)

    child = _fork(listed)
    os.close(writing)
    with open(reading, encoding="ascii") as pipe:
        found = pipe.read()
    _ended(child)
    return {Place(*place): count for place, count in json.loads(found)}


def dies_at(place: Place, time: int, run: abc.Callable[[], object], where: abc.Collection[Code]) -> bool:
    """Run `run` in a child process that kills itself when it comes to `place` for the `time`-th time, in whatever
    thread. False when it never came there so often. POSIX only."""
    wanted = (place.file, place.line, place.function)

    def doomed() -> None:
        passed = _death_after(time)

        def there(*at: object) -> None:
            if at == wanted:
                passed()

        _trace_threads(where, there)
        run()

    return _ended(_fork(doomed))


def _dies_at(line: int, run: abc.Callable[[], object], where: abc.Collection[Code]) -> bool:
    def doomed() -> None:
        sys.settrace(_tracer(where, _death_after(line)))
        run()

    return _ended(_fork(doomed))


def _dies_at_statement(number: int, run: abc.Callable[[], object]) -> bool:
    def doomed() -> None:
        from sqlalchemy import Engine, event

        passed = _death_after(number)
        for moment in ("before_cursor_execute", "commit"):
            event.listen(Engine, moment, passed)
        run()

    return _ended(_fork(doomed))


def _death_after(times: int) -> abc.Callable[..., None]:
    """What kills this process when it is called for the `times`-th time."""
    left = times

    def passed(*_what: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return passed


def _trace_threads(where: abc.Collection[Code], passed: abc.Callable[[str, int, str], object]) -> None:
    trace = _tracer(where, passed)
    threading.settrace(trace)
    sys.settrace(trace)


def _stop_tracing() -> None:
    threading.settrace(None)
    sys.settrace(None)


def _tracer(where: abc.Collection[Code], passed: abc.Callable[[str, int, str], object]) -> Any:
    files = {each.__file__ for each in where if isinstance(each, ModuleType)}
    functions = {each.__code__ for each in where if isinstance(each, FunctionType)}

    def trace(frame: FrameType, what: str, _argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in files and code not in functions:
            return None
        if what == "line":
            passed(code.co_filename, frame.f_lineno, code.co_name)
        return trace

    return trace


def _fork(run: abc.Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(LIFETIME_SECONDS)
        try:
            run()
        except BaseException:  # noqa: BLE001  a child that fails must not go on as a second parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def _ended(child: int) -> bool:
    """Whether it was killed. A child that ends in any other way but well is an error."""
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise AssertionError(f"the child ended with status {status} before it could be killed")
    return status != 0
