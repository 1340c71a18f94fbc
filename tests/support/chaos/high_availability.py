"""A fleet on a cluster of PostgreSQL servers that fails over: python -m chaos.high_availability --minutes M --seed N"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import abc
from dataclasses import dataclass
from pathlib import Path

from patroni_cluster import Cluster, missing
from pgbouncer import pgbouncer
from systems import eventually

from chaos import failover_checker, failovers
from chaos.checker import Judgement
from chaos.failover_checker import Expected
from chaos.run import finish, wait_until_settled
from chaos.site import Site

SERVERS = 2
WRITING_SECONDS = 2.0
WHOLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One fault under one way to reach the database: directly, or through PgBouncer in a mode."""

    fault: str
    synchronous: bool
    pooling: str = ""

    @property
    def loses(self) -> bool:
        return self.fault in failovers.LOSING

    def __str__(self) -> str:
        replication = "synchronous" if self.synchronous else "asynchronous"
        return f"{self.fault}, {replication}{f', PgBouncer in {self.pooling} mode' if self.pooling else ''}"


KEEPING = tuple(
    Scenario(fault, True, pooling) for fault in failovers.KEEPING for pooling in ("", "session", "transaction")
)
LOSING = tuple(Scenario(fault, False) for fault in failovers.LOSING)


def run(folder: Path, cluster: Cluster, scenario: Scenario, *, patience: float, name: str) -> Judgement:
    """A fleet of its own lives through the fault. What it leaves in `folder` is for whoever looks into a violation."""
    cluster.set_synchronous(scenario.synchronous)
    eventually(cluster.is_whole, WHOLE_SECONDS)
    url = cluster.new_database(name)
    with contextlib.ExitStack() as stack:
        port = cluster.port
        if scenario.pooling:
            port = stack.enter_context(pgbouncer(cluster.port, scenario.pooling))
            url = url.replace(f":{cluster.port}/", f":{port}/")
        site = stack.enter_context(Site(folder, mapping_store=url, database_port=port, servers=SERVERS))
        wait_until_settled(site, "at the beginning")
        time.sleep(WRITING_SECONDS)
        fault = {**failovers.KEEPING, **failovers.LOSING}[scenario.fault]
        outage = fault(cluster, site)
        # As the rules of `chaos.checker` know it: they excuse what comes of an outage.
        site.history.note("fault", action="kill-database", target="system", begin=outage.begin)
        time.sleep(WRITING_SECONDS)
        wait_until_settled(site, "at the end")
        finish(site)
    return failover_checker.judge(folder / "histories", Expected(outage, patience))


def scenarios(seed: int) -> abc.Iterator[Scenario]:
    """Every scenario once, and then again, in an order that the seed draws."""
    drawn = random.Random(f"keysvc ha {seed}")
    while True:
        yield from drawn.sample([*KEEPING, *LOSING], len(KEEPING) + len(LOSING))


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos.high_availability", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--patience", type=float, default=failover_checker.PATIENCE_SECONDS)
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    asked = parser.parse_args()
    if lacking := missing():
        print(f"not here: apt-get install {lacking}", file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="keysvc-ha-"))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes, in {folder}", flush=True)
    cluster = Cluster(synchronous=False)
    until, wrong = time.monotonic() + 60 * asked.minutes, 0
    try:
        wanted = (scenario for scenario in scenarios(asked.seed) if asked.only in str(scenario))
        for number, scenario in enumerate(wanted, 1):
            if time.monotonic() > until:
                break
            place = folder / f"{number}"
            place.mkdir()
            judgement = run(place, cluster, scenario, patience=asked.patience, name=f"ha{number}")
            wrong += len(judgement.violations)
            print(f"{number}. {scenario}: {judgement}", flush=True)
    finally:
        cluster.remove()
    print(f"violations {wrong}; histories and logs: {folder}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
