"""Re-encryption: the walk over every credential that is not under the active version, one old version after the other,
in batches that compare and swap. A walk that died is begun anew, and finds less to do: nothing is kept of it."""

from __future__ import annotations

import itertools
import operator
import time
from collections import abc
from dataclasses import dataclass, field
from enum import Enum, auto

from keysvc.crypto.credentials import CredentialCipher, Reencryption
from keysvc.errors import KeyStoreError, KeyStoreUnavailable
from keysvc.master.events import EventKind, event
from keysvc.master.rate_limit import Pace
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.term import Term
from keysvc.model import CredentialKey, EncryptedCredential
from keysvc.plugin.changes import Change, Reencrypt
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.rotation")
BATCH = 2000
AGAIN_SECONDS = 10.0
TELL_SECONDS = 60.0
NAMED = 1000


class Progress(Enum):
    """What a batch left behind: more rows to do at once, some that wait for something, or none at all."""

    MORE = auto()
    WAITING = auto()
    NOTHING = auto()


@dataclass(slots=True)
class _Walk:
    """Over the rows of the versions of `todo`, which says how many each has; of the first it is behind `after`."""

    active: int
    urgent: tuple[int, ...]
    todo: dict[int, int]
    done: int
    total: int
    old: CredentialCipher | None = None
    after: CredentialKey | None = None
    moved: int = 0
    undecryptable: int = 0
    began_at: float = field(default_factory=time.monotonic)
    told_at: float = field(default_factory=time.monotonic)

    @property
    def version(self) -> int:
        """That it is at."""
        return next(iter(self.todo))

    def next_version(self) -> None:
        """Done with this one."""
        del self.todo[self.version]
        self.old = self.after = None


class FullReencryption:
    """Called by one thread at a time. `undecryptable` counts the rows that the last whole walk could not move."""

    def __init__(self, store: MappingStore, system_id: str, secrets: UnsealedVersions, term: Term) -> None:
        self._store = store
        self._system_id = system_id
        self._secrets = secrets
        self._term = term
        self._walk: _Walk | None = None
        self._resting = 0, 0.0  # under which active version, until when
        self._named: set[CredentialKey] = set()
        self.pace = Pace()
        self.undecryptable = 0

    @property
    def remaining(self) -> int:
        """How many rows the walk under way has still to look at; 0 without one."""
        walk = self._walk
        return 0 if walk is None else max(0, walk.total - walk.done)

    def step(self, active: int, urgent: tuple[int, ...], max_rows_per_second: int | None) -> Progress:
        """Re-encrypt a batch of rows under `active`; those under the `urgent` versions come first."""
        if self._walk is None or (self._walk.active, self._walk.urgent) != (active, urgent):
            if self._resting[0] == active and time.monotonic() < self._resting[1]:
                return Progress.WAITING
            self._walk = self._begin(active, urgent)
        walk = self._walk
        if walk is None:
            return Progress.NOTHING
        limit = self.pace.allowed(max_rows_per_second, BATCH)
        if limit == 0:
            return Progress.WAITING
        walk.old = old = walk.old or self._cipher(walk.version)
        rows = self._store.credentials(after=walk.after, limit=limit, under=walk.version) if old else ()
        if old and rows:
            self._move(walk, old, rows)
            self.pace.spend(len(rows), max_rows_per_second)
            walk.after = rows[-1].key
            return Progress.MORE
        if old is None:
            walk.undecryptable += walk.todo[walk.version]
        walk.next_version()
        return Progress.MORE if walk.todo else self._end(walk)

    def _begin(self, active: int, urgent: tuple[int, ...]) -> _Walk | None:
        """From a count of what is there now."""
        rows = self._store.rows_by_version()
        others = sorted((v for v in rows if v != active and rows[v]), key=lambda v: (v not in urgent, v))
        if others:
            return _Walk(active, urgent, {v: rows[v] for v in others}, rows.get(active, 0), sum(rows.values()))
        self.undecryptable = 0
        self._named.clear()
        return None

    def _end(self, walk: _Walk) -> Progress:
        """What a walk could not move is tried again, by a walk that begins with a count: only that says that all is
        done."""
        self._walk, self.undecryptable = None, walk.undecryptable
        if walk.moved:
            return Progress.MORE
        now = time.monotonic()
        self._resting = walk.active, now + max(AGAIN_SECONDS, 10 * (now - walk.began_at))
        return Progress.WAITING

    def _move(self, walk: _Walk, old: CredentialCipher, rows: abc.Sequence[EncryptedCredential]) -> None:
        moved: list[EncryptedCredential] = []
        new = CredentialCipher(self._secrets.get(walk.active), self._system_id)
        for name, alike in itertools.groupby(rows, operator.attrgetter("application")):
            application = self._store.application(name)
            if application is None:  # deleted since the page was read, and its rows with it
                continue
            done, failed = Reencryption(old, new, application).move(list(alike))
            moved += done
            walk.undecryptable += len(failed)
            self._name(failed)
        if not moved:
            return
        changes: list[Change] = [Reencrypt(moved), *self._progress(walk, len(moved))]
        self._term.commit(*changes, active=new.id)
        walk.moved += len(moved)
        walk.done += len(moved)

    def _cipher(self, version: int) -> CredentialCipher | None:
        """None when that version is lost for good: then none of its rows decrypts. Raises KeyStoreUnavailable."""
        try:
            return CredentialCipher(self._secrets.get(version), self._system_id)
        except KeyStoreUnavailable:
            raise
        except KeyStoreError as error:
            log.error("credentials are under a version that is not held", version=version, why=str(error))
            return None

    def _name(self, rows: abc.Iterable[EncryptedCredential]) -> None:
        """Each once, and so many that neither log nor memory fills."""
        for row in rows:
            if row.key not in self._named and len(self._named) < NAMED:
                self._named.add(row.key)
                log.error("a credential does not decrypt", application=row.application, user=row.user)

    def _progress(self, walk: _Walk, moved: int) -> abc.Iterator[Change]:
        """At each tenth, and not more than once a minute: what is quick is finished before anybody reads it."""
        done = walk.done + moved
        now = time.monotonic()
        if done * 10 // walk.total > walk.done * 10 // walk.total and now - walk.told_at >= TELL_SECONDS:
            walk.told_at = now
            percent = done * 100 // walk.total
            subject = f"version {walk.active}"
            yield event(EventKind.ROTATION_PROGRESS, subject=subject, done=done, total=walk.total, percent=percent)
