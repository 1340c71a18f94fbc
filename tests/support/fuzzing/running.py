"""Runs a target, and judges: an error outside the hierarchy, more than a second or more than 64 MiB fails."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import resource
import signal
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fuzzing.mutation import Mutator
from fuzzing.target import Call, Target, Way, lines

SECONDS = 1.0
"""Of processor time: other processes of the machine do not count."""
BYTES = 64 * 2**20
HANGS = 30.0
"""Seconds after which a call is interrupted."""


class Hangs(BaseException):
    """A call did not return. No parser catches it."""


@dataclass(frozen=True)
class Failure:
    """What an input did."""

    content: bytes
    what: str

    @property
    def name(self) -> str:
        """Of the file that keeps it."""
        return hashlib.sha256(self.content).hexdigest()[:16]


@dataclass
class Report:
    """`paths` counts the different ways in which inputs were accepted or refused."""

    executions: int = 0
    paths: int = 0
    slowest: float = 0.0
    failure: Failure | None = None


def fuzz(target: Target, folder: Path, seconds: float, seed: int = 0) -> Report:
    """The corpus first, then what is made of it, until the time is over or an input fails."""
    report, seen = Report(), set[object]()
    mutator = Mutator(target.corpus(), target.words, target.maximum, seed)
    ends = time.monotonic() + seconds
    with target.open(folder) as call:
        _warm(target, call)
        for content in _inputs(target, mutator, ends):
            before = time.process_time()
            path, what = judged(target, call, content)
            report.slowest = max(report.slowest, time.process_time() - before)
            report.executions += 1
            if what:
                report.failure = Failure(content, what)
                break
            if path not in seen:
                seen.add(path)
                mutator.learn(content)
    report.paths = len(seen)
    return report


def _warm(target: Target, call: Call) -> None:
    """What the first input of all imports costs nobody else."""
    with contextlib.suppress(*target.expected):
        call(target.seeds[0])


def _inputs(target: Target, mutator: Mutator, ends: float) -> abc.Iterator[bytes]:
    yield from target.corpus()
    while time.monotonic() < ends:
        yield mutator.next()


def judged(target: Target, call: Call, content: bytes) -> tuple[object, str]:
    """The way that the input took, and what is wrong with it, if anything is."""
    memory, began = _peak(), time.process_time()
    path: object = None
    wrong = ""
    try:
        with _interrupted():
            way = call(content)
            path = way if isinstance(way, Way) else None
    except target.expected as error:
        path = type(error), lines(error.__traceback__)
    except Hangs:
        return None, f"it did not return within {HANGS:.0f} s"
    except Exception as error:
        at = lines(error.__traceback__)
        path, wrong = (type(error), at), f"{type(error).__name__}: {str(error)[:200]} at {at[-3:]}"
    taken, grown = time.process_time() - began, _peak() - memory
    if not wrong and taken > SECONDS:
        wrong = f"it took {taken:.1f} s"
    if not wrong and grown > BYTES:
        wrong = f"it took {grown / 2**20:.0f} MiB"
    if grown > BYTES / 16:
        _forget_peak()
    return path, wrong


@contextlib.contextmanager
def _interrupted() -> abc.Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> int:
    """The most memory that this process has had at once, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak() -> None:
    """Linux begins anew: what one input took is not hidden behind another."""
    gc.collect()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")
