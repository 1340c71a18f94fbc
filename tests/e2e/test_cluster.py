"""Several master secret servers, of which one is active: real processes, real TLS."""

from __future__ import annotations

import contextlib
import json
import time
from collections import abc
from pathlib import Path

import pytest
from clusters import Application, Cluster, until_epoch_above
from systems import Keysvc, eventually

from keysvc.installation import assembly
from keysvc.model import MasterSecret, SecretBytes, utc_now

AT_ONCE_SECONDS = 3.0
"""Well below the poll interval of five seconds: tenths of a second, on a quiet machine."""


@pytest.fixture
def cluster(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Cluster]:
    made = Cluster(tmp_path, keysvc, poll="5s", ttl="8s")
    yield made
    made.end()


def test_a_planned_handover_fails_nothing_and_a_change_is_seen_by_waiting_polls_at_once(cluster: Cluster) -> None:
    cluster.pair()
    sso = cluster.sso(cluster.join_server(long_poll=True))
    with Application(sso) as application:
        for successor in (1, 0):
            before = sso.status().epoch
            assert f"{cluster.url(successor)} is the master secret server now" in cluster.run("cluster", "step-down")
            assert until_epoch_above(sso, before, 60) < AT_ONCE_SECONDS
            assert cluster.active() == successor
            cluster.until_ready()
        with contextlib.closing(assembly.master_client(cluster.config())) as client:
            client.rotate()
            announced = time.monotonic()
            eventually(lambda: 2 in sso.status().versions_held)
        assert time.monotonic() - announced < AT_ONCE_SECONDS
        cluster.serving[0].popen.terminate()
        assert cluster.serving[0].popen.wait(timeout=20) == 0
        assert cluster.until_active(1) == 1
        epoch = cluster.status(1).epoch
        eventually(lambda: sso.status().epoch == epoch)
    assert application.failures == []


def test_a_standby_whose_key_store_lacks_a_version_says_why_and_never_becomes_active(cluster: Cluster) -> None:
    cluster.serve()
    cluster.until_active(0)
    url = f"file://{cluster.folder}/nowhere/secret?unlock=passphrase&passphrase-source=file:{cluster.folder}/passphrase"
    (cluster.folder / "passphrase").write_text("a passphrase of some length\n")
    (cluster.folder / "nowhere").write_text("a file where a directory should be\n")
    standby = cluster.join_master("--key-store", url)
    cluster.serve(standby)
    eventually(lambda: any(each.problem for each in cluster.status().standbys), 60)
    (shown,) = json.loads(cluster.run("cluster", "status", "--json"))["standbys"]
    assert (shown["ready"], shown["version"]) == (False, 0)
    assert "nowhere" in shown["problem"]
    assert "no standby is ready" in cluster.refused("cluster", "step-down")
    assert shown["problem"] in str(json.loads(cluster.run("status", "--json"))["warnings"])
    cluster.serving[0].kill()
    log = cluster.folder / "logs" / "m2-serve.log"
    eventually(lambda: "this standby cannot take over" in log.read_text(), 60)
    assert cluster.active() is None

    (cluster.folder / "nowhere").unlink()
    cluster.serve(0)
    cluster.until_ready()
    cluster.serving[0].kill()
    assert cluster.until_active(standby) == standby


def test_a_standby_follows_rotations_and_destructions_and_can_enrol_when_it_is_active(cluster: Cluster) -> None:
    cluster.pair()
    standby = cluster.machines[1].directory / "secret"
    assert "version 2 is active" in cluster.run("secret", "rotate", "--wait")
    assert len(list(standby.glob("version-*"))) == 2
    cluster.run("secret", "destroy", "1", "--force", stdin="y\n")
    eventually(lambda: [path.name for path in standby.glob("version-*")] == ["version-0000000002"])
    cluster.run("cluster", "step-down")
    config = cluster.join_server("late")
    assert cluster.sso(config).credential("SAP", user="alice")["password"].reveal() == "geheim"


def test_a_master_that_sealed_a_version_and_died_before_announcing_it_becomes_a_ready_standby(cluster: Cluster) -> None:
    cluster.pair()
    assert "version 2 is active" in cluster.run("secret", "rotate", "--wait")
    cluster.serving[0].kill()
    cluster.until_active(1)
    leave_an_unannounced_version(cluster, 3)
    assert "version 3 is active" in cluster.run("secret", "rotate", "--wait", machine=0)
    cluster.serve(0)
    cluster.until_ready()
    assert "never announced" in (cluster.folder / "logs" / "m1-serve.log").read_text()


def leave_an_unannounced_version(cluster: Cluster, version: int) -> None:
    key_store = assembly.open_key_store(cluster.config(), assembly.no_prompt)
    key_store.seal(MasterSecret(version, utc_now(), SecretBytes(b"x" * 32)))
    key_store.close()


def test_a_standby_that_shares_the_key_store_fetches_nothing_and_takes_over_with_every_version(
    cluster: Cluster,
) -> None:
    cluster.serve()
    cluster.until_active(0)
    standby = cluster.join_master("--key-store", cluster.config().key_store)
    cluster.with_credential()
    cluster.serve(standby)
    cluster.until_ready()
    assert "version 2 is active" in cluster.run("secret", "rotate", "--wait")
    cluster.serving[0].end()
    assert cluster.until_active(standby) == standby
    with assembly.connect(cluster.machines[0].config) as sso:
        assert sso.credential("SAP", user="alice")["password"].reveal() == "geheim"
    with contextlib.closing(assembly.open_mapping_store(cluster.config())) as store:
        assert "version.fetched" not in {e.action for e in store.audit(limit=500) if e.actor == "m2"}
    assert cluster.config(standby).key_store == cluster.config().key_store
