"""Looking after the audit trails: seal what was written without a key, verify, keep them within their sizes."""

from __future__ import annotations

import threading
import time
from collections import abc
from dataclasses import dataclass, field

from keysvc.errors import Conflict, Fenced, KeysvcError, MappingStoreError, MappingStoreUnavailable
from keysvc.master.events import EventKind, audit, told
from keysvc.master.term import Term
from keysvc.model import AuditEntry, AuditTrail, Settings
from keysvc.plugin import paging
from keysvc.plugin.audit_chain import AuditHead, AuditKeys, link
from keysvc.plugin.changes import AcceptAudit, PruneAudit, SealAudit
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.audit")
ATTEMPTS = 5
SERVICE = "master secret server"
BEGUN = "audit.trail-begun"
ADDED = frozenset({AuditTrail.MEMBERS})
"""The trails that a system of an earlier release lacks."""
SEAL_SECONDS = 1.0
VERIFY_SECONDS = 30.0
VERIFY_ALL_SECONDS = 6 * 3600.0
SLACK = 20
"""A trail is pruned when it is longer than it may be by one part in so many: not at every entry."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What somebody remembers of a trail: the link of one of its entries."""

    sequence: int
    link: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a trail. `entries` were read; of them the last `unsealed` are not authenticated yet. `problems`
    say in one line each what was changed, most telling first; none: every entry is as it was written, and none is
    missing."""

    trail: AuditTrail
    entries: int
    unsealed: int
    problems: tuple[str, ...]
    head: AuditHead


def verify(
    store: MappingStore,
    trail: AuditTrail,
    keys: AuditKeys | None,
    known: Checkpoint | None = None,
    *,
    since_known: bool = False,
) -> Verified:
    """Read a trail, compare it with its links, its seal and what is `known` of it. `since_known` reads only what came
    after that. Without `keys` the seal is not checked. Raises MappingStoreUnavailable."""
    for _ in range(ATTEMPTS):
        before = _head(store, trail)
        found = _Walk(before, keys, known).run(store, since_known=since_known)
        after = _head(store, trail)
        if after.base_sequence == before.base_sequence:
            return found.finish(after)
    raise MappingStoreUnavailable(f"the audit trail {trail} is pruned again and again while it is read")


def _head(store: MappingStore, trail: AuditTrail) -> AuditHead:
    found = [head for head in store.audit_heads() if head.trail == trail]
    if not found:
        raise MappingStoreError(f"the head of the audit trail {trail} was removed", hint="see docs/how-to/audit.md")
    return found[0]


class _Walk:
    """One reading of a trail."""

    def __init__(self, head: AuditHead, keys: AuditKeys | None, known: Checkpoint | None) -> None:
        self._head = head
        self._keys = keys
        self._known = known if known is not None and known.sequence >= head.base_sequence else None
        self._sequence, self._link = head.base_sequence, head.base_link
        self._entries = 0
        self._links_at = {head.base_sequence: head.base_link}
        self._problems: list[str] = []

    def run(self, store: MappingStore, *, since_known: bool) -> _Walk:
        """Read every entry that is there now."""
        if since_known and self._known is not None and self._known.sequence > self._sequence:
            self._sequence, self._link = self._known.sequence, self._known.link
            there = store.audit(self._head.trail, after=self._sequence - 1, limit=1)
            self._links_at[self._sequence] = there[0].link if there else b""
        try:
            for entry in paging.audit_entries(store, self._head.trail, self._sequence):
                self._step(entry)
        except MappingStoreUnavailable:
            raise
        except MappingStoreError as error:
            self._problems.append(str(error))
        return self

    def _step(self, entry: AuditEntry) -> None:
        expected = self._sequence + 1
        if entry.sequence > expected:
            self._problems.append(_missing(expected, entry.sequence - 1))
        elif link(self._link, entry) != entry.link:
            self._problems.append(f"entry {entry.sequence} was changed, or one before it was and the chain rewritten")
        self._sequence, self._link = entry.sequence, entry.link
        self._entries += 1
        if entry.sequence == self._head.sealed_sequence or (self._known and entry.sequence == self._known.sequence):
            self._links_at[entry.sequence] = entry.link

    def finish(self, newest: AuditHead) -> Verified:
        """Compare with the seal, with what is known, and with where the trail ends by now."""
        head = self._head
        if self._sequence < head.sequence:
            self._problems.append(_missing(self._sequence + 1, head.sequence))
        elif self._sequence > newest.sequence:
            self._problems.append(f"entries {newest.sequence + 1} to {self._sequence} were added by somebody else")
        if self._sequence == newest.sequence and self._link != newest.link:
            self._problems.append(f"entry {self._sequence} is not the one that was written last")
        if self._keys is not None and not self._keys.authenticates(head):
            self._problems.append(self._why_not_sealed(self._keys))
        self._compare(head.sealed_sequence, head.sealed_link)
        if self._known is not None:
            self._compare(self._known.sequence, self._known.link)
        unsealed = max(0, self._sequence - head.sealed_sequence)
        return Verified(head.trail, self._entries, unsealed, tuple(dict.fromkeys(self._problems)), head)

    def _compare(self, sequence: int, remembered: bytes) -> None:
        if sequence not in self._links_at:
            self._problems.append(f"entry {sequence} was there, and the trail ends at {self._sequence}")
        elif self._links_at[sequence] != remembered:
            self._problems.append(f"entry {sequence}, or one before it, is not the one that was sealed")

    def _why_not_sealed(self, keys: AuditKeys) -> str:
        version = self._head.sealed_version
        if version == 0:
            return "its seal was removed"
        if version not in keys:
            return f"it is sealed under version {version}, which is not at hand: is the database an old one?"
        return "its seal was forged, or its beginning or end was changed"


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _begins(entry: AuditEntry, trail: AuditTrail) -> bool:
    """Whether the entry says that the trail was sealed for the first time."""
    if entry.action == EventKind.SYSTEM_CONFIGURED:
        return trail in str(entry.detail.get("trails", "")).split(",")
    return entry.action == BEGUN and entry.subject == trail


class Trails(threading.Thread):
    """A thread of its own: a long trail takes seconds to read. `problems` are what status shows."""

    def __init__(self, store: MappingStore, term: Term, audit_keys: abc.Callable[[], AuditKeys]) -> None:
        super().__init__(name="audit", daemon=True)
        self._store = store
        self._term = term
        self._audit_keys = audit_keys
        self._marks: dict[AuditTrail, Checkpoint] = {}
        self._verify_at = self._verify_all_at = 0.0
        self._stopping = threading.Event()
        self._begun: set[AuditTrail] = set()
        self.problems: dict[AuditTrail, str] = {}

    def run(self) -> None:
        """Until `stop`, or until another process is the master secret server."""
        while not self._stopping.wait(SEAL_SECONDS):
            try:
                if self._term.valid:
                    self.look()
            except Fenced:
                return
            except KeysvcError as error:
                log.debug("looked after the audit in vain", problem=str(error))

    def stop(self) -> None:
        """Seals what the last requests wrote. Does not wait for a trail that is being read."""
        self._stopping.set()
        try:
            if self._term.valid:
                self.seal()
        except KeysvcError as error:
            log.warning("audit entries stay unsealed until a master secret server starts", problem=str(error))

    def look(self) -> None:
        """Seal, verify what came since, and prune: as far as each is due. Raises Fenced, MappingStoreUnavailable."""
        self.seal()
        now = time.monotonic()
        if now >= self._verify_at:
            self._verify_at = now + VERIFY_SECONDS
            self._verify_and_prune(now)

    def seal(self) -> None:
        """What others wrote without a key, and what is sealed under a version that is active no more."""
        record = self._store.versions().active
        active = record.version if record else 0
        for head in self._store.audit_heads():
            if self._is_added(head) and active in (keys := self._audit_keys()):
                first = SealAudit(head.trail, keys, first=True), audit(SERVICE, BEGUN, head.trail.value)
                self._term.commit(*first)
            elif head.sealed_sequence != head.sequence or head.sealed_version != active:
                self._term.commit(SealAudit(head.trail, self._audit_keys()))

    def _is_added(self, head: AuditHead) -> bool:
        """Whether an upgrade added the trail and nothing sealed it yet. One that was sealed once and is not now was
        changed by somebody: it stays unsealed, and `verify` reports it."""
        if head.trail not in ADDED or head.sealed_version or head.base_sequence or head.trail in self._begun:
            return False
        entries = paging.audit_entries(self._store, AuditTrail.CHANGES)
        if any(_begins(entry, head.trail) for entry in entries):
            self._begun.add(head.trail)
        return head.trail not in self._begun

    def _verify_and_prune(self, now: float) -> None:
        keys = self._audit_keys()
        if self._awaits(keys):
            self._verify_at = now
            return
        system = self._store.system()
        settings = system.settings if system else Settings()
        whole = now >= self._verify_all_at
        if whole:
            self._verify_all_at = now + VERIFY_ALL_SECONDS
        for trail in AuditTrail:
            self._verify(trail, keys, whole=whole)
            self._prune(trail, keys, bound_of(trail, settings))

    def _awaits(self, keys: AuditKeys) -> bool:
        """While the key store is away nobody can tell a good seal from a forged one: that is no sign of either."""
        live = self._store.versions().live.numbers
        return any(
            head.sealed_version in live and head.sealed_version not in keys for head in self._store.audit_heads()
        )

    def _verify(self, trail: AuditTrail, keys: AuditKeys, *, whole: bool) -> None:
        known = self._marks.get(trail)
        found = verify(self._store, trail, keys, known, since_known=not whole)
        if not found.problems:
            self.problems.pop(trail, None)
            self._marks[trail] = Checkpoint(found.head.sealed_sequence, found.head.sealed_link)
            return
        problem = f"the audit trail {trail}: {found.problems[0]}"
        if trail not in self.problems:
            log.error("an audit trail was changed", trail=trail.value, problem=problem)
            self._term.commit(*told(SERVICE, EventKind.AUDIT_CHAIN_BROKEN, trail.value, problem=problem))
        self.problems[trail] = problem

    def _prune(self, trail: AuditTrail, keys: AuditKeys, bound: int) -> None:
        head = _head(self._store, trail)
        surplus = head.sealed_sequence - head.base_sequence - bound
        if bound and surplus > bound // SLACK and trail not in self.problems:
            try:
                self._term.commit(PruneAudit(trail, head.base_sequence + surplus, keys))
            except Conflict:
                self._verify_at = 0.0


def accept(term: Term, trail: AuditTrail, keys: AuditKeys, actor: str) -> None:
    """Go on with a trail that is broken: `AcceptAudit`, with an entry that says who did."""
    entry = audit(actor, "audit.accepted", trail.value)
    term.commit(AcceptAudit(trail, keys), entry, SealAudit(AuditTrail.CHANGES, keys))


def bound_of(trail: AuditTrail, settings: Settings) -> int:
    """How many entries a trail may have; 0 for any number."""
    return {
        AuditTrail.CHANGES: settings.audit_changes,
        AuditTrail.DELETED_APPLICATIONS: settings.audit_deleted_applications,
        AuditTrail.DELETED_MAPPINGS: settings.audit_deleted_mappings,
        AuditTrail.LOOKUPS: settings.audit_credential_lookups,
        AuditTrail.MEMBERS: settings.audit_members,
    }[trail]
