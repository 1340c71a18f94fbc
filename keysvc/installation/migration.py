"""Moves a whole system from one mapping store into another, while no master secret server runs.

It can be repeated from wherever it was interrupted: what is there already is compared, not copied again. SSO servers go
on looking up in the old store; once the move is done nothing can be encrypted into it any more.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import abc
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import msgspec

from keysvc.errors import Conflict, MappingStoreError, NotConfigured
from keysvc.master.events import audit
from keysvc.master.term import Term, hold
from keysvc.model import (
    AuditTrail,
    EncryptedCredential,
    Enrolment,
    Mapping,
    SystemRecord,
    VersionRecord,
    VersionState,
)
from keysvc.plugin import paging
from keysvc.plugin.audit_chain import AuditHead
from keysvc.plugin.changes import (
    AppendAudit,
    AppendEvent,
    Change,
    DeleteApplication,
    DeleteCredential,
    DeleteMapping,
    PutApplication,
    PutAuditHead,
    PutBackup,
    PutCredential,
    PutEnrolment,
    PutIdentity,
    PutMapping,
    PutRotationSettings,
    PutSystem,
    PutVersion,
    RedeemEnrolment,
    UseTicket,
)
from keysvc.plugin.interfaces import MappingStore

MOVED = "system.moved"
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
MODULUS = 1 << 256
Progress = abc.Callable[[int], object]


def migrate(
    source: MappingStore, target: MappingStore, actor: str, progress: Progress = lambda _done: None
) -> Contents:
    """Move everything from `source` into `target`, which is prepared here; `progress` hears of credentials copied.

    The leases of both are held meanwhile. Repeatable; after the end it changes nothing. Raises LeaseHeld while a master
    secret server runs, Conflict when a rotation is between announcing and activating or the target holds a system that
    is at work or another one, MappingStoreError when what was written is not what is read back.
    """
    system = source.system()
    if system is None:
        raise NotConfigured(f"the mapping store {source.info().url} holds no system")
    target.prepare()
    if _is_done(source, target):
        return Contents.of(target)
    # SSO servers take no answer of a lower epoch than they have seen: the new store's rises above the old one's.
    with hold(source, wait=True) as old, hold(target, wait=True, above=old.epoch) as new:
        return _Move(source, target, old, new, progress).run(system, actor)


def _is_done(source: MappingStore, target: MappingStore) -> bool:
    """An earlier run came to its end: the target works, and what was active in the source is frozen there."""
    there, frozen = target.versions().active, source.versions().active is None
    if there is None:
        if frozen and _was_moved_away(source):
            raise Conflict(f"this system was moved away from {source.info().url} already", hint="keysvc audit list")
        return False
    if frozen and any(record.id == there.id for record in source.versions()):
        return True
    raise Conflict(f"{target.info().url} holds a system that is at work", hint="name an empty database")


def _was_moved_away(store: MappingStore) -> bool:
    """Whether the last move that its audit trail tells of led out of it; reads the whole trail."""
    moves = [entry.subject for entry in paging.audit_entries(store, AuditTrail.CHANGES) if entry.action == MOVED]
    return bool(moves) and moves[-1].startswith("to ")


@dataclass(slots=True)
class Contents:
    """How many rows of each kind a store holds, and a digest of them that does not depend on their order.

    The digest is the sum of the rows' SHA-256 modulo 2^256: stores that differ by accident differ in it.
    """

    counts: dict[str, int] = field(default_factory=dict)
    digest: int = 0

    @classmethod
    def of(cls, store: MappingStore) -> Contents:
        """Read all that a move carries over."""
        found = cls()
        for kind, rows in _everything(store):
            for row in rows:
                found._add(kind, row)
        return found

    def _add(self, kind: str, row: object) -> None:
        plain: Any = msgspec.to_builtins(row, builtin_types=(bytes,))
        for own_to_each_store in ("revision", "sequence"):
            plain.pop(own_to_each_store, None)
        content = msgspec.msgpack.encode([kind, plain])
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.digest = (self.digest + int.from_bytes(hashlib.sha256(content).digest())) % MODULUS


def _everything(store: MappingStore) -> abc.Iterator[tuple[str, abc.Iterable[object]]]:
    applications = store.applications()
    yield "system", filter(None, [store.system()])
    yield "backup", filter(None, [store.backup()])
    yield "rotation", [store.rotation_settings()]
    yield "identities", store.identities()
    yield "applications", applications
    for application in applications:
        yield "mappings", paging.mappings(store, application.name)
    yield "credentials", paging.credentials(store)


class _Move:
    def __init__(self, source: MappingStore, target: MappingStore, old: Term, new: Term, progress: Progress) -> None:
        self._source, self._target, self._old, self._new = source, target, old, new
        self._progress = progress

    def run(self, system: SystemRecord, actor: str) -> Contents:
        active = self._copy_versions(system)
        self._copy_rows()
        self._freeze(active)
        try:
            self._copy_rows()  # what was written until then
            moved = self._verify()
            self._copy_trail()
        except BaseException:
            self._thaw(active)
            raise
        self._put([PutVersion(active), audit(actor, MOVED, self._source.info().url)])
        self._old.commit(audit(actor, MOVED, f"to {self._target.info().url}"))
        return moved

    def _copy_versions(self, system: SystemRecord) -> VersionRecord:
        """The active one as announced: a target that is not complete has none, and no master serves from it."""
        versions = self._source.versions()
        if versions.announced is not None:
            raise Conflict(
                f"version {versions.announced.version} is announced and not active yet",
                hint="start the master secret server, let that version become active, stop it, and repeat this",
            )
        if not versions.live:
            raise NotConfigured(f"{self._source.info().url} has no version of the master secret")
        # where an earlier run froze the source, all are retiring: the newest was the active one
        active = replace(versions.live[-1], state=VersionState.ACTIVE)
        others = [record for record in versions if record.version != active.version]
        waiting = replace(active, state=VersionState.ANNOUNCED)
        self._put([PutSystem(system), *map(PutVersion, [*others, waiting])])
        return active

    def _freeze(self, active: VersionRecord) -> None:
        """Without an active version nobody can encrypt into the source."""
        self._old.commit(PutVersion(replace(active, state=VersionState.RETIRING)))

    def _thaw(self, active: VersionRecord) -> None:
        self._old.commit(PutVersion(active))

    def _copy_rows(self) -> None:
        source, target = self._source, self._target
        backup = source.backup()
        settings = PutRotationSettings(source.rotation_settings())
        self._put([settings, *([PutBackup(backup)] if backup else [])])
        self._copy_identities()
        names = {application.name for application in source.applications()}
        self._put([DeleteApplication(a.name) for a in target.applications() if a.name not in names])
        for application in source.applications():
            there = target.application(application.name)
            if there is not None and there.application_id != application.application_id:
                self._put([DeleteApplication(there.name)])  # it was deleted and made again meanwhile
                there = None
            if there is None or replace(there, revision=application.revision) != application:
                self._put([PutApplication(replace(application, revision=there.revision if there else 0))])
            self._copy_mappings(application.name)
        self._copy_credentials()
        self._copy_used_tickets()

    def _copy_identities(self) -> None:
        """After a move back, one that is revoked in the target may have been enrolled again since: so is it there."""
        there = {identity.name: identity for identity in self._target.identities()}
        for identity in self._source.identities():
            old = there.get(identity.name)
            new = replace(identity, revision=old.revision if old else 0)
            if old == new:
                continue
            if old is None or old.revoked_at is None or new.revoked_at is not None:
                self._put([PutIdentity(new)])
                continue
            token = Enrolment(secrets.token_hex(32), new.name, new.role, new.enrolled_at)
            self._put([PutEnrolment(token), RedeemEnrolment(token.token_hash, 1, new.enrolled_at, new)])

    def _copy_used_tickets(self) -> None:
        """Or they could be redeemed again in the target."""
        known = {ticket.ticket_id for ticket in paging.used_tickets(self._target)}
        unknown = (ticket for ticket in paging.used_tickets(self._source) if ticket.ticket_id not in known)
        for page in paging.batches(unknown):
            self._put([UseTicket(ticket, LONG_AGO) for ticket in page])

    def _copy_mappings(self, application: str) -> None:
        there = {mapping.user: mapping for mapping in paging.mappings(self._target, application)}
        for page in paging.batches(paging.mappings(self._source, application)):
            changed: list[Mapping] = []
            for mapping in page:
                old = there.pop(mapping.user, None)
                if old is None or replace(old, revision=mapping.revision) != mapping:
                    changed.append(replace(mapping, revision=old.revision if old else 0))
            self._put([PutMapping(mapping) for mapping in changed])
        self._put([DeleteMapping(application, user) for user in there])

    def _copy_credentials(self) -> None:
        there = {row.key: (row.revision, _fingerprint(row)) for row in paging.credentials(self._target)}
        copied = 0
        for page in paging.batches(paging.credentials(self._source)):
            changed: list[EncryptedCredential] = []
            for row in page:
                revision, fingerprint = there.pop(row.key, (0, b""))
                if fingerprint != _fingerprint(row):
                    changed.append(replace(row, revision=revision))
            self._put([PutCredential(row) for row in changed])
            copied += len(page)
            self._progress(copied)
        self._put([DeleteCredential(key.application, key.user) for key in there])

    def _copy_trail(self) -> None:
        """The audit trails from where the target's end, and the events that are still to be delivered."""
        for head in self._source.audit_heads():
            self._copy_entries(head)
        known = {event.event_id for event in self._target.events(1_000_000)}
        events = self._source.events(1_000_000)
        self._put([AppendEvent(event) for event in events if event.event_id not in known])

    def _copy_entries(self, head: AuditHead) -> None:
        """Beginning where the source's begins, so that each entry has its number and its link; then with its seal."""
        there = next(each for each in self._target.audit_heads() if each.trail == head.trail)
        if not self._goes_on(there, head):
            there = replace(head, sequence=head.base_sequence, link=head.base_link)
            self._put([PutAuditHead(there)])
        entries = paging.audit_entries(self._source, head.trail, there.sequence)
        for page in paging.batches(entry for entry in entries if entry.sequence <= head.sequence):
            self._put([AppendAudit(entry) for entry in page])
        self._put([PutAuditHead(head)])

    def _goes_on(self, there: AuditHead, head: AuditHead) -> bool:
        """Whether the target's trail is a beginning of the source's: it is not when this is a move back."""
        if (there.base_sequence, there.base_link) != (head.base_sequence, head.base_link):
            return False
        same = self._source.audit(head.trail, after=there.sequence - 1, limit=1)
        return there.link == (same[0].link if same and same[0].sequence == there.sequence else head.base_link)

    def _verify(self) -> Contents:
        wanted, found = Contents.of(self._source), Contents.of(self._target)
        if wanted != found:
            raise MappingStoreError(
                f"{found.counts} were read back of {wanted.counts}: something else writes into one of the stores",
                hint="stop it, and repeat this",
            )
        return found

    def _put(self, changes: abc.Sequence[Change]) -> None:
        if changes:
            self._new.commit(*changes)


def _fingerprint(row: EncryptedCredential) -> bytes:
    return hashlib.sha256(row.version.to_bytes(4, "big") + row.ciphertext).digest()[:16]
