"""Resident memory of an idle master secret server and of an idle agent, some seconds after they began; each a process.

Most of it is what Python imports. `VmRSS` of Linux: with the pages of libraries that other processes share.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.installation import Installation
from benchmarks.measuring import Figure, Figures, Scale
from benchmarks.processes import resident_mib


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name, Installation(Path(name)) as installed:
        serving = installed.serve()
        installed.store_credential()
        agent = installed.agent(installed.join("web-01", "server"))
        time.sleep(scale.of(10, 3))
        yield Figure("memory of an idle master", resident_mib(serving.popen.pid), "MiB", 70, at_most=True)
        yield Figure("memory of an idle agent", resident_mib(agent.popen.pid), "MiB", 60, at_most=True)
