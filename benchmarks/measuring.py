"""Rounds that take turns, and the figure that comes of them.

Other work runs on most machines. So contenders take turns, round by round, and a ratio is the median of the ratios of
neighbours in time: what slows a whole round down slows both. The best of each is shown too.
"""

from __future__ import annotations

import statistics
import time
from collections import abc
from dataclasses import dataclass, field

Contender = abc.Callable[[], float]
"""One round; how much was done a second."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much to do: all of it, what fits `make bench-quick`, or next to nothing, to see that a job runs."""

    quick: bool = False
    tiny: bool = False

    def of(self, full: int, quick: int, tiny: int = 1) -> int:
        """One of the three."""
        if self.tiny:
            return tiny
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Rates:
    """One contender's rounds, each as work a second."""

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half of the way from the slowest round to the fastest, as a part of the median."""
        return (max(self.rounds) - min(self.rounds)) / 2 / self.median


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: `value` should be at least, or at most, `goal`; without a goal it is only told."""

    job: str
    value: float
    unit: str
    goal: float | None = None
    at_most: bool = False
    best: float | None = None
    work: str = ""
    contenders: tuple[Rates, ...] = ()
    note: str = ""

    @property
    def passed(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


Figures = abc.Iterator[Figure]


def timed(work: abc.Callable[[], int], clock: abc.Callable[[], float] = time.perf_counter) -> Contender:
    """A contender of something that does its work in this process and says how much it was."""

    def round_() -> float:
        begin = clock()
        done = work()
        return done / (clock() - begin)

    return round_


def repeated(once: abc.Callable[[], object], times: int) -> abc.Callable[[], int]:
    """Work that is one call, done many times."""

    def many() -> int:
        for _ in range(times):
            once()
        return times

    return many


@dataclass(slots=True)
class Race:
    """Contenders for one job; the first is keysvc. `run` lets them take turns. What they return is work a second, or
    how long it took where `lower_is_better`."""

    job: str
    work: str
    contenders: abc.Mapping[str, Contender]
    rounds: int
    lower_is_better: bool = False
    rates: dict[str, list[float]] = field(default_factory=dict)

    def run(self) -> Race:
        """Every other round in the opposite order, so that nobody always follows the same one."""
        self.rates = {name: [] for name in self.contenders}
        for number in range(self.rounds):
            order = list(self.contenders.items())
            for name, contender in reversed(order) if number % 2 else order:
                self.rates[name].append(contender())
        return self

    def against(self, other: str, goal: float | None, note: str = "") -> Figure:
        """keysvc as a multiple of another."""
        names = list(self.contenders)
        ours, theirs = self.rates[names[0]], self.rates[other]
        best = min if self.lower_is_better else max
        return Figure(
            f"{self.job}: {names[0]} / {other}",
            statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
            "×",
            goal,
            at_most=self.lower_is_better,
            best=best(ours) / best(theirs),
            work=self.work,
            contenders=(Rates(names[0], tuple(ours)), Rates(other, tuple(theirs))),
            note=note,
        )


class Unavailable(Exception):
    """A job needs something that is not here; the message says what to install."""
