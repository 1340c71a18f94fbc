"""How long after a version was announced each of 1,000 SSO servers knows it, all in a waiting poll.

The clock begins when an SSO administrator asks for a rotation, so the version's generating, sealing and first commit
are in it, and ends when an SSO server has the answer. `keysvc serve` is a process, the SSO servers another (fleet.py).
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

from benchmarks.fleet import Fleet, Polls, enrol
from benchmarks.installation import Installation
from benchmarks.many_servers import allow_files, shown
from benchmarks.measuring import Figure, Figures, Scale
from keysvc.cli.demo.processes import wait_until
from keysvc.installation import assembly

SERVERS = 1000
CHANGES = 5


def figures(scale: Scale) -> Figures:
    servers = scale.of(SERVERS, 200)
    allow_files(servers + 200)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        installed = ending.enter_context(Installation(Path(name)))
        with contextlib.closing(assembly.open_mapping_store(installed.config)) as store:
            authority = assembly.authority(installed.config)
            enrol(store, authority, installed.config.system_id, servers, Path(name) / "fleet")
        installed.serve()
        client = ending.enter_context(contextlib.closing(assembly.master_client(installed.config)))
        fleet = Fleet(installed.port, installed.config.system_id, Path(name) / "fleet", servers)
        ending.enter_context(fleet)
        latencies: list[float] = []
        for version in range(2, 2 + scale.of(CHANGES, 2)):
            fleet.wait_for_change()
            began = time.monotonic()
            client.rotate()
            latencies += [known - began for known in fleet.known_at()]
            wait_until(lambda version=version: client.status().active_version == version, "the rotation")  # type: ignore[misc]
            fleet.poll_every(0.5, 1.0)
        polls = Polls(latencies, 0)
        job = f"a change known at all of {servers:,} SSO servers: p99"
        yield Figure(job, polls.percentile(99), "s", 1, at_most=True, note=shown(polls))
