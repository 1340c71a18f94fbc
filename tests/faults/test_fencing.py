"""A master secret server that was paused or cloned changes nothing once its lease has passed on.

One that is cut off from its database is in the tests of keysvc-postgresql."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
from collections import abc
from pathlib import Path

import pytest
from clusters import Cluster
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import free_port
from keysvc.installation import config as configuration


@pytest.fixture
def cluster(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Cluster]:
    made = Cluster(tmp_path, keysvc)
    yield made
    made.end()


def log_of(cluster: Cluster, machine: int) -> str:
    return (cluster.folder / "logs" / f"m{machine + 1}-serve.log").read_text()


def pause_between_writes(process: subprocess.Popen[bytes], database: Path) -> None:
    """Whoever is stopped in the middle of a write keeps the lock of a SQLite database, and nobody else writes."""
    while True:
        process.send_signal(signal.SIGSTOP)
        busy = contextlib.suppress(sqlite3.OperationalError)
        with contextlib.closing(sqlite3.connect(database, timeout=1)) as connection, busy:
            connection.execute("BEGIN IMMEDIATE")
            return
        process.send_signal(signal.SIGCONT)


def test_a_master_that_was_paused_beyond_its_lease_is_a_standby_afterwards(cluster: Cluster) -> None:
    cluster.pair()
    configuration.change(cluster.machines[0].config, {"master": (cluster.url(1), cluster.url(0))})
    paused = cluster.serving[0].popen
    pause_between_writes(paused, cluster.machines[0].directory / "keysvc.db")
    cluster.until_active(1)
    assert "version 2 is active" in cluster.run("secret", "rotate", "--wait")
    paused.send_signal(signal.SIGCONT)
    eventually(lambda: "another is the master secret server now" in log_of(cluster, 0), 60)
    cluster.assert_one_history(1)


def test_a_clone_of_the_active_machine_is_a_standby_and_never_a_second_master(cluster: Cluster) -> None:
    cluster.pair()
    clone = cluster._machine("m3")
    shutil.copytree(cluster.machines[0].directory, clone.directory, ignore=lambda *_: ["keysvc.db"])
    configuration.change(clone.config, {"listen": f"127.0.0.1:{free_port()}"})
    cluster.serve(2)
    eventually(lambda: "this is a standby" in log_of(cluster, 2), 60)
    epoch = cluster.status().epoch
    cluster.run("secret", "rotate", "--wait")
    assert cluster.status().epoch == epoch
    cluster.assert_one_history(0)
    assert "this is the master secret server now" not in log_of(cluster, 2)
