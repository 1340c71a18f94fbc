"""A master secret server that was paused, cut off or cloned changes nothing once its lease has passed on."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections import abc
from pathlib import Path

import pytest
from chaos.proxy import Network
from clusters import APPLICATION, USER, Cluster
from postgresql_server import start_or_skip
from systems import Keysvc, eventually

from keysvc import assembly
from keysvc import config as configuration
from keysvc.demo.processes import free_port

Make = abc.Callable[..., Cluster]


@pytest.fixture
def make(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Make]:
    made: list[Cluster] = []

    def cluster(mapping_store: str = "") -> Cluster:
        made.append(Cluster(tmp_path, keysvc, mapping_store=mapping_store))
        return made[-1]

    yield cluster
    for each in made:
        each.end()


def log_of(cluster: Cluster, machine: int) -> str:
    return (cluster.folder / "logs" / f"m{machine + 1}-serve.log").read_text()


def assert_one_history(cluster: Cluster, active: int) -> None:
    """The other did what it could for a while, as a standby: versions, epoch and lease are the active one's."""
    cluster.until_ready()
    found = cluster.status(active)
    assert found.master_url == cluster.url(active)
    with contextlib.closing(assembly.open_mapping_store(cluster.config(active))) as store:
        assert [(record.version, record.state.value) for record in store.versions()] == [(1, "retiring"), (2, "active")]
        assert store.epoch() == found.epoch
    with assembly.connect(cluster.machines[0].config) as sso:
        assert sso.credential(APPLICATION, user=USER)["password"].reveal() == "geheim"


def test_a_master_that_was_paused_beyond_its_lease_is_a_standby_afterwards(make: Make) -> None:
    cluster = make()
    cluster.pair()
    configuration.change(cluster.machines[0].config, {"master": (cluster.url(1), cluster.url(0))})
    paused = cluster.serving[0].popen
    paused.send_signal(signal.SIGSTOP)
    cluster.until_active(1)
    assert "version 2 is active" in cluster.run("secret", "rotate", "--wait")
    paused.send_signal(signal.SIGCONT)
    eventually(lambda: "another is the master secret server now" in log_of(cluster, 0), 60)
    assert_one_history(cluster, 1)


def test_a_master_that_is_cut_off_from_the_database_is_a_standby_when_it_is_back(make: Make) -> None:
    database = start_or_skip()
    network = Network()
    try:
        url = database.new_database()
        cluster = make(url)
        way = network.way(lambda: database.port)
        through = {"mapping_store": url.replace(f":{database.port}/", f":{way.port}/")}
        configuration.change(cluster.machines[0].config, through)
        cluster.serve(0)
        cluster.until_active(0)
        standby = cluster.join_master("--mapping-store", url)
        cluster.with_credential()
        cluster.serve(standby)
        cluster.until_ready()
        way.cut(silently=True)
        cluster.until_active(standby, seen_by=standby)
        way.heal()
        cluster.run("secret", "rotate", "--wait", machine=0)
        assert_one_history(cluster, standby)
    finally:
        network.close()
        database.remove()


def test_a_clone_of_the_active_machine_is_a_standby_and_never_a_second_master(make: Make) -> None:
    cluster = make()
    cluster.pair()
    clone = cluster._machine("m3")
    shutil.copytree(cluster.machines[0].directory, clone.directory, ignore=lambda *_: ["keysvc.db"])
    configuration.change(clone.config, {"listen": f"127.0.0.1:{free_port()}"})
    cluster.serve(2)
    eventually(lambda: "this is a standby" in log_of(cluster, 2), 60)
    epoch = cluster.status().epoch
    cluster.run("secret", "rotate", "--wait")
    assert cluster.status().epoch == epoch
    assert_one_history(cluster, 0)
    assert "this is the master secret server now" not in log_of(cluster, 2)
