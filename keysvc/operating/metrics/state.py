"""What a service knows of itself when somebody asks for metrics. Nothing here does I/O but reading certificates."""

from __future__ import annotations

import contextlib
from collections import Counter, abc
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric as Family
from prometheus_client.registry import Collector

from keysvc.crypto.certificates import not_after
from keysvc.errors import ConfigurationError, NotActive
from keysvc.master.cluster_member import Member
from keysvc.model import VersionRecord, VersionState
from keysvc.operating.metrics import catalogue as c
from keysvc.operating.metrics.catalogue import Kind, Metric
from keysvc.operating.metrics.snapshot import Snapshot
from keysvc.plugin.heartbeat import Heart
from keysvc.sso import SSO
from keysvc.web.asgi.server import Server
from keysvc.web.tls.identity_files import IdentityFiles


def one(metric: Metric, value: float) -> Family:
    """Return a metric without labels."""
    family = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    return family(metric.name, metric.text, value=value)


def each(metric: Metric, values: abc.Mapping[str, float]) -> Family:
    """Return a metric of one label, by its values."""
    family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    for label, value in values.items():
        family.add_metric([label], value)
    return family


@dataclass(frozen=True, slots=True, eq=False)
class ProcessState(Collector):
    """What master secret server and agent have in common."""

    heart: Heart
    server: Server
    identity: IdentityFiles

    def collect(self) -> abc.Iterator[Family]:
        """As prometheus-client asks."""
        known, strangers = self.server.connections
        yield each(c.THREADS_SILENT, self.heart.since())
        yield each(c.CONNECTIONS, {"known": known, "strangers": strangers})
        ends: dict[str, float] = {}
        for name, read in (("own", self.identity.certificate), ("authority", self.identity.authority)):
            with contextlib.suppress(ConfigurationError):  # the service itself says what is wrong with it
                ends[name] = not_after(read()).timestamp()
        yield each(c.CERTIFICATES, ends)


@dataclass(frozen=True, slots=True, eq=False)
class MasterState(Collector):
    """A master secret server, active or standby; a standby has the metrics of the lease alone."""

    member: Member
    snapshot: Snapshot

    def collect(self) -> abc.Iterator[Family]:
        """As prometheus-client asks."""
        try:
            now = self.member.active.condition()
        except NotActive:
            yield one(c.LEASE_HELD, 0)
            yield one(c.LEASE_EPOCH, 0)
            yield one(c.LEASE_REMAINING, 0)
            yield one(c.STANDBY_READY, self.member.can_take_over)
            return
        yield one(c.LEASE_HELD, now.lease_held)
        yield one(c.LEASE_EPOCH, now.epoch)
        yield one(c.LEASE_REMAINING, now.lease_remaining_seconds)
        yield one(c.LEASE_RENEWALS, now.lease_renewals)
        yield from _of_versions(now.versions)
        yield one(c.VERSIONS_UNSEALED, now.sealed_versions)
        yield one(c.KEY_STORE_UP, now.key_store_answers)
        yield one(c.REMAINING, now.remaining_rows)
        yield one(c.UNDECRYPTABLE, now.undecryptable_rows)
        yield each(c.MEMBERS, {role.value: count for role, count in now.members.items()})
        yield one(c.STANDBYS_READY, now.standbys_ready)
        yield each(c.NOTIFIER_UP, now.notifiers)
        yield one(c.AUDIT_PROBLEMS, now.damaged_trails)
        yield from self.snapshot.collect()


def _of_versions(versions: abc.Sequence[VersionRecord]) -> abc.Iterator[Family]:
    states = Counter(record.state.value for record in versions)
    live = [state.value for state in VersionState if state is not VersionState.DESTROYED]
    yield each(c.VERSIONS, {state: states[state] for state in live})
    for record in versions:
        if record.state is VersionState.ACTIVE:
            yield one(c.ACTIVE_CREATED, record.created_at.timestamp())


@dataclass(frozen=True, slots=True, eq=False)
class AgentState(Collector):
    """An SSO server."""

    sso: SSO

    def collect(self) -> abc.Iterator[Family]:
        """As prometheus-client asks."""
        now = self.sso.status()
        yield one(c.VERSIONS_HELD, len(now.versions_held))
        yield one(c.CAN_ENCRYPT, now.can_encrypt)
        yield one(c.MASTER_UP, not now.problem)
