"""What other processes used, as Linux tells it."""

from __future__ import annotations

import os
from collections import abc
from pathlib import Path

from benchmarks.measuring import Contender

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def cpu_seconds(process: int) -> float:
    """Of a process, since it began: all its threads, in the program and in the kernel."""
    fields = Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(process: int) -> float:
    """Its memory that is in RAM."""
    pages = int(Path(f"/proc/{process}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def on_one_core(process: int, answers: abc.Callable[[], int]) -> Contender:
    """Answers a second of the process's own time: what one core gives that it has for itself, however busy the machine
    is with other things and with asking."""

    def round_() -> float:
        before = cpu_seconds(process)
        answered = answers()
        return answered / (cpu_seconds(process) - before)

    return round_
