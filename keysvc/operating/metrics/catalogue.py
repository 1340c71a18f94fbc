"""Every metric by name: its type, its labels, and what it says. docs/reference/metrics.md is made of this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """The type of a metric, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name` is without the `_total` that counters end with; `of` says which services have it."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    of: tuple[str, ...] = ("master", "agent")

    @property
    def exposed(self) -> str:
        """The name as it is asked for."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def _gauge(name: str, text: str, *labels: str, of: tuple[str, ...]) -> Metric:
    return Metric(f"keysvc_{name}", Kind.GAUGE, text, labels, of)


_MASTER, _AGENT, _BOTH = ("master",), ("agent",), ("master", "agent")

REQUESTS: Final = Metric(
    "keysvc_http_requests",
    Kind.COUNTER,
    "Requests answered, by path as the HTTP reference writes it; polls of a master are /v1/poll.",
    ("method", "path", "status"),
)
LOOKUPS: Final = Metric(
    "keysvc_lookups",
    Kind.COUNTER,
    "Lookups answered: from memory, or from the mapping store; ok, refused (4xx) or failed (5xx).",
    ("source", "result"),
    _AGENT,
)
CHANGES: Final = Metric(
    "keysvc_changes",
    Kind.COUNTER,
    "Changes that this service committed to the mapping store, by kind.",
    ("change",),
)
ENCRYPTED: Final = Metric(
    "keysvc_credentials_encrypted",
    Kind.COUNTER,
    "Credentials that this service encrypted and stored.",
    (),
    _AGENT,
)
REENCRYPTED: Final = Metric(
    "keysvc_credentials_reencrypted",
    Kind.COUNTER,
    "Credentials that this master re-encrypted under the active version.",
    (),
    _MASTER,
)
CALLS: Final = Metric(
    "keysvc_call_duration_seconds",
    Kind.HISTOGRAM,
    "How long calls of the mapping store and of the key store took.",
    ("part", "method"),
)
ERRORS: Final = Metric(
    "keysvc_call_errors",
    Kind.COUNTER,
    "Calls that failed, by the code of the error; the HSM's are those of the key store.",
    ("part", "code"),
)

LEASE_HELD: Final = _gauge("lease_held", "1 while this process surely holds the lease.", of=_MASTER)
LEASE_EPOCH: Final = _gauge(
    "lease_epoch", "The epoch of the lease that this process holds; 0 on a standby.", of=_MASTER
)
LEASE_REMAINING: Final = _gauge(
    "lease_remaining_seconds", "How long the lease surely still runs, unless it is renewed.", of=_MASTER
)
LEASE_RENEWALS: Final = Metric(
    "keysvc_lease_renewals", Kind.COUNTER, "Renewals of the lease by this process.", (), _MASTER
)
STANDBY_READY: Final = _gauge("standby_ready", "1 on a standby that could take over now.", of=_MASTER)
VERSIONS: Final = _gauge("versions", "Versions of the master secret that are not destroyed.", "state", of=_MASTER)
VERSIONS_UNSEALED: Final = _gauge("versions_sealed", "Versions that the key store does not unseal.", of=_MASTER)
ACTIVE_CREATED: Final = _gauge(
    "active_version_created_timestamp_seconds", "When the active version was generated.", of=_MASTER
)
KEY_STORE_UP: Final = _gauge("key_store_up", "1 while the key store answers.", of=_MASTER)
BACKUP_CREATED: Final = _gauge(
    "backup_created_timestamp_seconds", "When the newest backup was recorded; 0 without one.", of=_MASTER
)
BACKUP_CURRENT: Final = _gauge("backup_current", "1 if the newest backup holds the active version.", of=_MASTER)
REMAINING: Final = _gauge(
    "rotation_remaining_rows", "Credentials that the walk under way has still to re-encrypt.", of=_MASTER
)
UNDECRYPTABLE: Final = _gauge(
    "undecryptable_rows", "Credentials that the last whole walk could not decrypt.", of=_MASTER
)
MEMBERS: Final = _gauge("members", "Processes that polled this master lately.", "role", of=_MASTER)
STANDBYS_READY: Final = _gauge("standbys_ready", "Standbys that could take over now, as this master knows.", of=_MASTER)
OUTBOX: Final = _gauge(
    "outbox_events", "Events that a notifier has still to accept; at most 1000 are counted.", "notifier", of=_MASTER
)
OUTBOX_OLDEST: Final = _gauge(
    "outbox_oldest_timestamp_seconds", "When the oldest of them happened; 0 without one.", "notifier", of=_MASTER
)
NOTIFIER_UP: Final = _gauge(
    "notifier_up", "1 unless the notifier refused or missed the last event.", "notifier", of=_MASTER
)
AUDIT_PROBLEMS: Final = _gauge("audit_trails_damaged", "Audit trails that do not verify.", of=_MASTER)
AUDIT_UNSEALED: Final = _gauge(
    "audit_unsealed_entries", "Entries of a trail that are not sealed yet: the lag of the audit.", "trail", of=_MASTER
)
SNAPSHOT: Final = _gauge(
    "snapshot_timestamp_seconds", "When backup, outbox and audit were last read for these metrics.", of=_MASTER
)
CERTIFICATES: Final = _gauge(
    "certificate_not_after_timestamp_seconds", "When a certificate of this machine expires.", "certificate", of=_BOTH
)
THREADS_SILENT: Final = _gauge(
    "heartbeat_silent_seconds", "How long ago the event loop or the worker answered a no-op.", "thread", of=_BOTH
)
CONNECTIONS: Final = _gauge(
    "connections", "Open connections of callers that are known, and of strangers.", "peer", of=_BOTH
)
VERSIONS_HELD: Final = _gauge("versions_held", "Versions of the master secret in memory.", of=_AGENT)
CAN_ENCRYPT: Final = _gauge("encrypting_permitted", "1 while this SSO server may encrypt.", of=_AGENT)
MASTER_UP: Final = _gauge("master_up", "1 if the last poll was answered well.", of=_AGENT)

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every one, in the order of this file."""
PROCESS: Final = ("process_", "python_")
"""How the names of prometheus-client's own metrics of process and interpreter begin."""
