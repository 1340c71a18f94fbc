"""A server that is told to end does so at once, whoever keeps a connection to it."""

from __future__ import annotations

import signal

from sites import Site

from keysvc.installation import config as configuration
from keysvc.installation.assembly import master_client


def test_a_master_does_not_wait_for_connections_that_others_keep(site: Site) -> None:
    site.init("--no-backup")
    serving = site.serve()
    client = master_client(configuration.load(site.machine.config))
    assert client.status().master
    serving.popen.send_signal(signal.SIGTERM)
    assert serving.popen.wait(timeout=60) == 0
    client.close()
    assert "graceful shutdown exceeded" not in serving.log.read_text("utf-8")
