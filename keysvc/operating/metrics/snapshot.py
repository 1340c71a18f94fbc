"""What only the mapping store knows: read every few seconds in a thread, so that nobody who asks for metrics waits for
a database, and no one who asks often makes it work."""

from __future__ import annotations

import threading
import time
from collections import abc

from prometheus_client.core import GaugeMetricFamily, Metric as Family

from keysvc.errors import KeysvcError, NotActive
from keysvc.master.cluster_member import Member
from keysvc.model import Event, VersionState
from keysvc.operating.metrics import catalogue as c
from keysvc.operating.metrics.catalogue import Metric
from keysvc.plugin.background import lasting
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.metrics")
LOOK_SECONDS = 10.0
MOST_EVENTS = 1000


class Snapshot:
    """Of the store of a master secret server, while that is active. What was read last counts while the mapping store
    is away; `keysvc_snapshot_timestamp_seconds` says how old it is."""

    def __init__(self, store: MappingStore, member: Member) -> None:
        self._store, self._member = store, member
        self._families: abc.Sequence[Family] = ()
        self._ended = threading.Event()
        self._thread = lasting("metrics", self._read_on, self._ended.is_set)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """End, and close the store. Does not wait: a mapping store may hang."""
        self._ended.set()

    def collect(self) -> abc.Iterable[Family]:
        """Return what was read last."""
        return self._families

    def read(self) -> None:
        """Read once. Raises NotActive, MappingStoreError."""
        now = self._member.active.condition()
        active = next((r.version for r in now.versions if r.state is VersionState.ACTIVE), 0)
        backup = self._store.backup()
        pending = {name: self._store.events(MOST_EVENTS, pending_for=name) for name in now.notifiers}
        unsealed = {head.trail.value: head.sequence - head.sealed_sequence for head in self._store.audit_heads()}
        self._families = (
            _gauge(c.BACKUP_CREATED, {(): backup.created_at.timestamp() if backup else 0}),
            _gauge(c.BACKUP_CURRENT, {(): backup is not None and active in backup.versions}),
            _gauge(c.OUTBOX, {(name,): len(events) for name, events in pending.items()}),
            _gauge(c.OUTBOX_OLDEST, {(name,): _oldest(events) for name, events in pending.items()}),
            _gauge(c.AUDIT_UNSEALED, {(trail,): count for trail, count in unsealed.items()}),
            _gauge(c.SNAPSHOT, {(): time.time()}),
        )

    def _read_on(self) -> None:
        while True:
            try:
                self.read()
            except NotActive:
                self._families = ()
            except KeysvcError as error:
                log.debug("the metrics of the mapping store cannot be read", problem=str(error))
            if self._ended.wait(LOOK_SECONDS):
                self._store.close()
                return


def _gauge(metric: Metric, values: abc.Mapping[tuple[str, ...], float]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _oldest(events: abc.Sequence[Event]) -> float:
    return events[0].at.timestamp() if events else 0.0
