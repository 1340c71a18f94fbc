"""10,000 SSO servers that poll one master secret server every 30 seconds, for five minutes; then what 100,000 would
need: the same ones ten times as often, for half a minute.

`keysvc serve` is a process with SQLite; the SSO servers are simulated in another one (fleet.py), on loopback. There is
no floor: the goals are what a machine of two cores can give without being noticed.
"""

from __future__ import annotations

import contextlib
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.fleet import Fleet, Polls, enrol
from benchmarks.installation import Installation
from benchmarks.measuring import Figure, Figures, Scale, Unavailable
from benchmarks.processes import cpu_seconds, resident_mib
from keysvc.installation import assembly

SERVERS, INTERVAL = 10_000, 30.0
TEN_TIMES = 10


def figures(scale: Scale) -> Figures:
    servers, interval = scale.of(SERVERS, 500), INTERVAL if not scale.quick else 3.0
    allow_files(servers + 200)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        installed = ending.enter_context(Installation(Path(name)))
        with contextlib.closing(assembly.open_mapping_store(installed.config)) as store:
            authority = assembly.authority(installed.config)
            enrol(store, authority, installed.config.system_id, servers, Path(name) / "fleet")
        process = installed.serve().popen.pid
        time.sleep(3)
        idle = resident_mib(process)
        fleet = Fleet(installed.port, installed.config.system_id, Path(name) / "fleet", servers)
        ending.enter_context(fleet)
        polls, cpu = measured(fleet, process, interval, scale.of(10, 5) * interval)
        above = resident_mib(process) - idle
        job = f"{servers:,} SSO servers, a poll each {interval:.0f} s"
        yield Figure(f"{job}: missed polls", polls.missed, "", 0, at_most=True, note=f"of {len(polls.latencies):,}")
        yield Figure(f"{job}: p99 of a poll", polls.percentile(99) * 1000, "ms", 50, at_most=True, note=shown(polls))
        yield Figure(f"{job}: CPU of the master", cpu * 100, "% of a core", 15, at_most=True)
        yield Figure(f"{job}: memory above idle", above, "MiB", 150, at_most=True, note=f"{idle:.0f} MiB idle")
        polls, cpu = measured(fleet, process, interval / TEN_TIMES, interval)
        memory = idle + TEN_TIMES * above
        note = f"and {memory:,.0f} MiB, ten times this memory; {polls.missed} missed, {shown(polls)}"
        yield Figure(f"{TEN_TIMES * servers:,} SSO servers would need", cpu * 100, "% of a core", note=note)


def allow_files(count: int) -> None:
    """For this process and those that it starts. Raises Unavailable where the machine allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        if soft < count:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(count, hard)))
    except (OSError, ValueError):
        raise Unavailable(f"{count:,} open files are not allowed here: ulimit -Hn") from None


def measured(fleet: Fleet, process: int, interval: float, seconds: float) -> tuple[Polls, float]:
    """The polls, and how much of a core the master used meanwhile."""
    before, began = cpu_seconds(process), time.monotonic()
    polls = fleet.poll_every(interval, seconds)
    return polls, (cpu_seconds(process) - before) / (time.monotonic() - began)


def shown(polls: Polls) -> str:
    """The latencies."""
    return ", ".join(f"p{of} {polls.percentile(of) * 1000:.1f} ms" for of in (50, 99, 100))
