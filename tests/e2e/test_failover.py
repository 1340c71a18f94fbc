"""Kill -9 of the active master secret server, again and again: how long until another answers, what fails meanwhile.
`make failover` does it 20 times."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from clusters import Application, Cluster, until_epoch_above
from systems import Keysvc, eventually

TIMES = int(os.environ.get("KEYSVC_FAILOVERS", "2"))
TTL_SECONDS = float(os.environ.get("KEYSVC_FAILOVER_TTL", "5"))


def test_a_killed_master_is_followed_within_its_lease_and_no_call_of_an_application_fails(
    tmp_path: Path, keysvc: Keysvc
) -> None:
    cluster = Cluster(tmp_path, keysvc, ttl=f"{TTL_SECONDS}s", poll="15s")
    try:
        cluster.pair()
        sso = cluster.sso(cluster.join_server(long_poll=True))
        eventually(lambda: sso.status().can_encrypt)
        outages = []
        with Application(sso) as application:
            for _ in range(TIMES):
                active, before = cluster.until_active(0, 1), sso.status().epoch
                cluster.serving[active].kill()
                outages.append(until_epoch_above(sso, before, 60))
                assert cluster.active() == 1 - active
                cluster.serve(active)
                cluster.until_ready()
        shown = f"median {statistics.median(outages):.2f} s, worst {max(outages):.2f} s of {TIMES}"
        calls = f"{application.lookups} look-ups, {application.encryptions} encryptions"
        print(f"failover with a lease of {TTL_SECONDS:g} s: {shown}; {calls}, {len(application.failures)} failed")
        assert application.failures == []
        assert application.lookups > 10 * TIMES
        assert max(outages) <= TTL_SECONDS + 2
    finally:
        cluster.end()
