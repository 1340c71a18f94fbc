"""The alert rules, by promtool, on what a real master, a standby and an agent say of themselves: a healthy hour raises
no alert, and each fault its own within two minutes, and no other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import abc
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families as families
from systems import System, eventually
from web_servers import enrolled

from keysvc.errors import NotActive
from keysvc.model import BackupRecord, Role, utc_now
from keysvc.operating.metrics.catalogue import METRICS
from keysvc.operating.metrics.exposition import Exposition
from keysvc.plugin.heartbeat import Heart

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy/prometheus/keysvc.rules.yml"
RUNBOOK = ROOT / "docs/how-to/alerts.md"
DASHBOARD = ROOT / "deploy/grafana/keysvc.json"
INTERVAL_SECONDS, HEALTHY_MINUTES = 15, 60
SERVER = SimpleNamespace(connections=(2, 1))
Recording = abc.Mapping[str, str]
"""Values in promtool's notation by series."""

FAULTS: abc.Mapping[str, tuple[abc.Mapping[str, str], set[str]]] = {
    "the master dies, and no standby takes over": (
        {r"keysvc_lease_held\{.*master-1": "0x300", r"^up\{.*master-1": "0x300"},
        {"KeysvcNoMaster", "KeysvcDown"},
    ),
    "the worker of the agent hangs": (
        {r"keysvc_heartbeat_silent_seconds\{.*web-01.*worker": "40+15x300"},
        {"KeysvcHangs"},
    ),
    "a standby lacks a version": ({r"keysvc_standby_ready": "0x300"}, {"KeysvcStandbyNotReady"}),
    "the agent does not reach the database": (
        {r"keysvc_call_errors_total\{.*web-01": "0+30x300"},
        {"KeysvcMappingStoreErrors"},
    ),
    "the HSM is away": ({r"keysvc_key_store_up": "0x300"}, {"KeysvcKeyStoreDown"}),
    "a version does not open": ({r"keysvc_versions_sealed": "1x300"}, {"KeysvcVersionSealed"}),
    "the agent is cut off from the masters": ({r"keysvc_encrypting_permitted": "0x300"}, {"KeysvcCannotEncrypt"}),
    "the agent started without a master": ({r"keysvc_versions_held": "0x300"}, {"KeysvcCannotDecrypt"}),
    "lookups fail": ({r"keysvc_lookups_total\{.*failed": "0+2x300"}, {"KeysvcLookupsFail"}),
    "the webhook's receiver is away": ({r"keysvc_notifier_up": "0x300"}, {"KeysvcNotifierDown"}),
    "a credential was changed in the database": ({r"keysvc_undecryptable_rows": "1x300"}, {"KeysvcUndecryptable"}),
    "an audit entry was removed": ({r"keysvc_audit_trails_damaged": "1x300"}, {"KeysvcAuditDamaged"}),
    "a certificate was not renewed": (
        {r"keysvc_certificate_not_after_timestamp_seconds\{.*own": "86400x300"},
        {"KeysvcCertificateExpires"},
    ),
    "the authority nears its end": (
        {r"keysvc_certificate_not_after_timestamp_seconds\{.*authority": "864000x300"},
        {"KeysvcAuthorityExpires"},
    ),
    "two databases, two masters": ({r"keysvc_lease_held\{.*master-2": "1x300"}, {"KeysvcTwoMasters"}),
}
SLOW = {"KeysvcBackupMissing"}
"""The alerts that wait for longer than two minutes."""


class Accepting:
    def deliver(self, _event: object) -> None:
        pass

    def close(self) -> None:
        pass


class Standby:
    can_take_over = True

    @property
    def active(self) -> object:
        raise NotActive("this is a standby", active="")


def read(exposition: Exposition, instance: str) -> Recording:
    """One reading that lasts; what counts goes on."""
    found = {series("up", {"job": "keysvc", "instance": instance}): "1x300"}
    for family in families(exposition.text().read().decode()):
        for sample in family.samples:
            name = series(sample.name, {**sample.labels, "job": "keysvc", "instance": instance})
            found[name] = f"{sample.value:.0f}x300"
    return found


def series(name: str, labels: abc.Mapping[str, str]) -> str:
    return f"{name}{{{', '.join(f'{key}={json.dumps(value)}' for key, value in sorted(labels.items()))}}}"


@pytest.fixture
def healthy(system: System, tmp_path: Path) -> Recording:
    from keysvc.master.delivery import Subscription

    master = system.start(subscriptions=[Subscription("pager", Accepting())])
    identity = enrolled(system, "web-01", Role.SERVER, tmp_path)
    master.record_backup(BackupRecord(utc_now(), (1,)), "administrator")
    sso, _ = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    heart = Heart()
    for thread in ("worker", "event loop"):
        heart.watch(thread, lambda no_op: no_op())
    agent, active, standby = (Exposition(heart, identity) for _ in range(3))
    agent.of_agent(SERVER, sso)
    active.watch(system.plugins)
    for source, result, times in (("memory", 200, 50), ("store", 503, 1)):
        for _ in range(times):
            agent.observe("GET", "/v1/credential", result, source == "memory")
    with (
        active.of_master(SERVER, SimpleNamespace(active=master), system.store),
        standby.of_master(SERVER, Standby(), system.store),
    ):
        eventually(lambda: b"keysvc_backup_current 1.0" in active.text().read())
        found = {**read(active, "master-1"), **read(standby, "master-2"), **read(agent, "web-01")}
    errors = series(
        "keysvc_call_errors_total",
        {"part": "mapping_store", "code": "mapping-store-unavailable", "job": "keysvc", "instance": "web-01"},
    )
    lookups = {name: "0+50x300" for name in found if name.startswith("keysvc_lookups_total") and '"ok"' in name}
    return {**found, errors: "3x300", **lookups}


def changed(recording: Recording, fault: abc.Mapping[str, str]) -> Recording:
    found = dict(recording)
    for pattern, values in fault.items():
        hit = [name for name in found if re.search(pattern, name)]
        assert hit, pattern
        found.update(dict.fromkeys(hit, values))
    return found


def raised(recording: Recording, expected: abc.Collection[str], at: str) -> dict[str, object]:
    return {
        "interval": f"{INTERVAL_SECONDS}s",
        "input_series": [{"series": name, "values": values} for name, values in recording.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"}) > bool 0',
                "eval_time": at,
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)],
            }
        ],
    }


def promtool(tests: abc.Sequence[object], folder: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    file = folder / "tests.json"  # which is YAML too
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_healthy_hour_raises_no_alert(healthy: Recording, tmp_path: Path) -> None:
    promtool([raised(healthy, set(), f"{minute}m") for minute in range(1, HEALTHY_MINUTES + 1, 7)], tmp_path)


def test_each_fault_raises_its_alert_within_two_minutes_and_no_other(healthy: Recording, tmp_path: Path) -> None:
    promtool([raised(changed(healthy, fault), alerts, "2m") for fault, alerts in FAULTS.values()], tmp_path)
    missing = changed(healthy, {"keysvc_backup_current": "0x300"})
    promtool([raised(missing, set(), "50m"), raised(missing, SLOW, "61m")], tmp_path)


def rules() -> abc.Mapping[str, str]:
    """The text of each rule by its name."""
    parts = re.split(r"^ +- alert: (\w+)$", RULES.read_text("utf-8"), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_every_alert_has_a_fault_that_raises_it_and_a_section_that_says_what_to_do() -> None:
    tested = set().union(*(alerts for _, alerts in FAULTS.values())) | SLOW
    assert rules().keys() == tested
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert sections == list(rules())
    for name, text in rules().items():
        assert f"runbook: docs/how-to/alerts.md#{name.lower()}\n" in text


def test_rules_and_dashboard_name_metrics_of_the_catalogue_alone() -> None:
    known = {metric.exposed for metric in METRICS} | {"keysvc_call_duration_seconds_bucket"}
    for path in (RULES, DASHBOARD):
        named = set(re.findall(r"\bkeysvc_\w+", path.read_text("utf-8")))
        assert named <= known, named - known


def queries() -> abc.Iterator[tuple[str, str]]:
    for panel in json.loads(DASHBOARD.read_text("utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_every_query_of_the_dashboard_finds_something_in_a_healthy_hour(healthy: Recording, tmp_path: Path) -> None:
    found = [
        {
            "interval": f"{INTERVAL_SECONDS}s",
            "input_series": [{"series": name, "values": values} for name, values in healthy.items()],
            "promql_expr_test": [
                {
                    "expr": f"count({query.replace('$__rate_interval', '1m')}) > bool 0",
                    "eval_time": "10m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
                for _, query in queries()
            ],
        }
    ]
    assert len(list(queries())) >= 12
    promtool(found, tmp_path)
