"""The metrics of a real master secret server and of a real agent, against the catalogue, both ways."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections import abc
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from systems import System, eventually, keeping_events
from web_servers import enrolled, serving_agent

from keysvc.errors import KeyStoreUnavailable, MappingStoreUnavailable, NotActive
from keysvc.model import Role
from keysvc.operating.measuring import measured
from keysvc.operating.metrics.catalogue import METRICS, PROCESS, Kind
from keysvc.operating.metrics.exposition import Exposition
from keysvc.operating.metrics.snapshot import Snapshot
from keysvc.plugin.heartbeat import Heart
from keysvc.web.tls.identity_files import IdentityFiles

SERVER = SimpleNamespace(connections=(2, 1))


class Samples:
    """What Prometheus would read."""

    def __init__(self, exposition: Exposition) -> None:
        self.text = exposition.text().read().decode()
        self.families = {family.name: family for family in families(self.text)}

    def ours(self) -> set[str]:
        return {name for name in self.families if not name.startswith(PROCESS)}

    def value(self, name: str, **labels: str) -> float:
        family = self.families[name.removesuffix("_total").removesuffix("_count")]
        return next((s.value for s in family.samples if s.name == name and s.labels == labels), 0.0)


def names(service: str) -> set[str]:
    return {metric.name for metric in METRICS if service in metric.of}


@pytest.fixture
def identity(system: System, tmp_path: Path) -> IdentityFiles:
    system.start(subscriptions=keeping_events())
    return enrolled(system, "web-01", Role.SERVER, tmp_path)


@pytest.fixture
def of_master(system: System, identity: IdentityFiles) -> abc.Iterator[Exposition]:
    made = Exposition(heart(), identity)
    made.watch(system.plugins)
    member = SimpleNamespace(active=system.master, can_take_over=True)
    with made.of_master(SERVER, member, system.store):
        eventually(lambda: "keysvc_snapshot_timestamp_seconds" in Samples(made).families)
        yield made


@pytest.fixture
def of_agent(system: System, identity: IdentityFiles) -> Exposition:
    made = Exposition(heart(), identity)
    made.watch(system.plugins)
    system.with_users("anna")
    sso, _ = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    sso.set_credential("SAP", user="anna", password="geheim")
    made.of_agent(SERVER, sso)
    return made


def heart() -> Heart:
    made = Heart()
    made.watch("worker", lambda no_op: no_op())
    return made


COUNTED_BY_BOTH = {metric.name for metric in METRICS if metric.kind is not Kind.GAUGE}


def test_a_master_has_the_metrics_of_the_catalogue_and_no_other(of_master: Exposition) -> None:
    found = Samples(of_master).ours()
    assert found - COUNTED_BY_BOTH == names("master") - COUNTED_BY_BOTH - {"keysvc_standby_ready"}
    assert names("master") - {"keysvc_standby_ready"} <= found


def test_an_agent_has_the_metrics_of_the_catalogue_and_no_other(of_agent: Exposition) -> None:
    found = Samples(of_agent).ours()
    assert found - COUNTED_BY_BOTH == names("agent") - COUNTED_BY_BOTH
    assert names("agent") <= found


def test_every_metric_has_the_text_the_type_and_the_labels_of_the_catalogue(
    of_master: Exposition, of_agent: Exposition
) -> None:
    read = {**Samples(of_agent).families, **Samples(of_master).families}
    for metric in METRICS:
        if metric.name == "keysvc_standby_ready":
            continue
        family = read[metric.name]
        assert (family.documentation, family.type) == (metric.text, metric.kind.value)
        labels = {tuple(sorted(sample.labels.keys() - {"le"})) for sample in family.samples}
        assert labels <= {tuple(sorted(metric.labels))}, metric.name


def test_metrics_say_what_is(system: System, of_master: Exposition) -> None:
    read = Samples(of_master)
    assert read.value("keysvc_lease_held") == 1
    assert read.value("keysvc_lease_epoch") == system.store().epoch()
    assert read.value("keysvc_versions", state="active") == 1
    assert read.value("keysvc_versions", state="retiring") == 0
    assert read.value("keysvc_backup_created_timestamp_seconds") == 0
    assert read.value("keysvc_outbox_events", notifier="away") > 0
    assert read.value("keysvc_outbox_oldest_timestamp_seconds", notifier="away") > 0
    assert read.value("keysvc_connections", peer="known") == 2
    assert read.value("keysvc_certificate_not_after_timestamp_seconds", certificate="own") > 0
    eventually(lambda: Samples(of_master).value("keysvc_notifier_up", notifier="away") == 0)


def test_a_standby_has_the_metrics_of_the_lease_alone(system: System, identity: IdentityFiles) -> None:
    class Standby:
        can_take_over = True

        @property
        def active(self) -> object:
            raise NotActive("this is a standby", active="")

    made = Exposition(heart(), identity)
    with made.of_master(SERVER, Standby(), system.store):
        read = Samples(made)
    assert read.value("keysvc_standby_ready") == 1
    assert read.value("keysvc_lease_held") == 0
    assert "keysvc_versions" not in read.families


def test_promtool_finds_nothing_to_say(of_master: Exposition, of_agent: Exposition) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    for exposition in (of_master, of_agent):
        checked = subprocess.run(
            ["promtool", "check", "metrics"],
            input=Samples(exposition).text,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_what_is_written_and_what_fails_is_counted(system: System, of_agent: Exposition) -> None:
    read = Samples(of_agent)
    assert read.value("keysvc_credentials_encrypted_total") == 1
    assert read.value("keysvc_changes_total", change="PutCredential") == 1
    assert read.value("keysvc_call_duration_seconds_count", part="mapping_store", method="commit") > 0
    store = of_agent._calls.mapping_store(Broken())
    for _ in range(2):
        with pytest.raises(MappingStoreUnavailable):
            store.versions()
    with pytest.raises(KeyStoreUnavailable):
        of_agent._calls.key_store(Broken()).unseal(1)
    read = Samples(of_agent)
    assert read.value("keysvc_call_errors_total", part="mapping_store", code="mapping-store-unavailable") == 2
    assert read.value("keysvc_call_errors_total", part="key_store", code="key-store-unavailable") == 1
    assert (repr(store), store.name) == ("broken", "broken")


def ask(at: Path, path: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(str(at))
        connection.sendall(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        while connection.recv(65536):
            pass


class Broken:
    name = "broken"

    def versions(self) -> object:
        raise MappingStoreUnavailable("away")

    def unseal(self, _version: int) -> object:
        raise KeyStoreUnavailable("away")

    def __repr__(self) -> str:
        return "broken"


def test_lookups_are_counted_by_source_and_result(system: System, tmp_path: Path) -> None:
    system.start()
    system.with_users("anna")
    sso, _ = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    sso.set_credential("SAP", user="anna", password="geheim")
    made = Exposition(heart(), IdentityFiles(tmp_path))
    with serving_agent(system, sso, tmp_path, observe=made.observe) as served:
        paths = [f"/v1/credential?application=SAP&user={user}" for user in ("anna", "anna", "berta")]
        for path in (*paths, "/geheim"):
            ask(served.socket, path)
    read = Samples(made)
    assert read.value("keysvc_lookups_total", source="store", result="ok") == 1
    assert read.value("keysvc_lookups_total", source="memory", result="ok") == 1
    assert read.value("keysvc_lookups_total", source="store", result="refused") == 1
    assert read.value("keysvc_http_requests_total", method="GET", path="/v1/credential", status="200") == 2
    assert read.value("keysvc_http_requests_total", method="other", path="other", status="404") == 1
    assert not re.search("geheim|anna|berta|SAP", read.text)


def test_the_snapshot_of_an_outage_is_the_last_one(system: System) -> None:
    system.start()
    store = SimpleNamespace(backup=lambda: None, events=lambda *_a, **_n: (), audit_heads=tuple, close=lambda: None)
    snapshot = Snapshot(store, SimpleNamespace(active=system.master))
    snapshot.read()
    before = snapshot.collect()

    def away() -> None:
        raise MappingStoreUnavailable("away")

    store.backup = away
    with pytest.raises(MappingStoreUnavailable):
        snapshot.read()
    assert snapshot.collect() is before


def test_nothing_is_measured_without_probes() -> None:
    found = measured(SimpleNamespace(probes=None), heart(), IdentityFiles(Path("x")))
    assert not isinstance(found, Exposition)
    assert found.text() is None
