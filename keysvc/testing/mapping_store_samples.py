"""What the conformance suite of mapping stores writes into them."""

from __future__ import annotations

import hashlib
from collections import abc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from keysvc.model import (
    Application,
    ApplicationType,
    AuditEntry,
    AuditTrail,
    BackupRecord,
    EncryptedCredential,
    Enrolment,
    Event,
    Field,
    Identity,
    Mapping,
    Role,
    RotationSettings,
    Server,
    SystemRecord,
    UsedTicket,
    VersionRecord,
    Versions,
    VersionState,
)
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    Change,
    ParkEvent,
    PutApplication,
    PutBackup,
    PutCredential,
    PutEnrolment,
    PutIdentity,
    PutMapping,
    PutRotationSettings,
    PutSystem,
    PutVersion,
    SeeServers,
    UseTicket,
)
from keysvc.plugin.interfaces import MappingStore

AT = datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OpenStore = abc.Callable[[], MappingStore]


def an_application(name: str = "SAP", **changes: object) -> Application:
    """An application with two fields."""
    fields = (Field("user", masked=False), Field("password", masked=True))
    plain = Application(name, hashlib.sha256(name.encode()).hexdigest()[:32], ApplicationType.INDIVIDUAL, fields)
    return replace(plain, **changes)  # type: ignore[arg-type]


def a_version(version: int, state: VersionState) -> VersionRecord:
    """A version whose check value follows from its number."""
    return VersionRecord(version, state, AT, f"{version:016x}")


def a_credential(user: str = "alice", version: int = 1, ciphertext: bytes = b"\x01sealed") -> EncryptedCredential:
    """A credential of SAP."""
    return EncryptedCredential("SAP", user, version, ciphertext)


def users(*names: str, application: str = "SAP") -> list[Change]:
    """A mapping and a credential under version 1 for each name."""
    changes: list[Change] = []
    for name in names:
        changes.append(PutMapping(Mapping(application, name, f"{name[:200]}@sap")))
        changes.append(PutCredential(EncryptedCredential(application, name, 1, name.encode("utf-8", "replace"))))
    return changes


def activate(store: MappingStore, version: int, *, instead_of: int, also: abc.Sequence[Change] = ()) -> None:
    """What the master secret server commits when a version takes over."""
    retire = PutVersion(a_version(instead_of, VersionState.RETIRING))
    store.commit([PutVersion(a_version(version, VersionState.ACTIVE)), retire, *also], UNGUARDED)


def check_every_kind_of_row(store: MappingStore) -> None:
    """Write a row of every kind into a store that is empty, and read it back."""
    version, token = a_version(1, VersionState.ACTIVE), Enrolment("ab" * 32, "web", Role.SERVER, AT)
    changes: list[Change] = [
        PutSystem(SystemRecord("f" * 32, AT)),
        PutVersion(version),
        PutApplication(an_application()),
        *users("alice"),
        SeeServers([Server("web", "1", (1,), AT)]),
        PutIdentity(Identity("web", Role.SERVER, "0a", AT)),
        PutEnrolment(token),
        UseTicket(UsedTicket("t1", AT + MINUTE), AT),
        PutBackup(BackupRecord(AT, (1,))),
        PutRotationSettings(RotationSettings(AT)),
        AppendEvent(Event("e1", "rotation.started", AT, {})),
        *(AppendAudit(AuditEntry(AT, "me", "act", "it", trail=trail)) for trail in AuditTrail),
    ]
    store.commit(changes, UNGUARDED)
    store.commit([ParkEvent("e1", "mail", "refused", AT)], UNGUARDED)
    lease = store.grant_lease("one", MINUTE)
    assert lease is not None
    assert (store.versions(), store.lease(), store.epoch()) == (Versions([version]), lease, 1)
    assert (store.look_up("SAP", "alice") or (None, None, None))[2] == store.credential("SAP", "alice") is not None
    assert [server.name for server in store.servers()] == [found.name for found in store.identities()] == ["web"]
    assert store.enrolment(token.token_hash) is not None
    assert [row.ticket_id for row in store.used_tickets()] == ["t1"]
    assert (store.rotation_settings(), store.backup()) == (RotationSettings(AT), BackupRecord(AT, (1,)))
    assert [event.event_id for event in store.events(9)] == [parked.event.event_id for parked in store.parked_events(9)]
    assert [len(store.audit(trail)) for trail in AuditTrail] == [1] * len(AuditTrail)
    assert [head.sequence for head in store.audit_heads()] == [1] * len(AuditTrail)
