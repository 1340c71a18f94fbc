"""The audit of look-ups: which are recorded is a matter of levels, and what cannot be recorded is refused."""

from __future__ import annotations

import contextlib
import threading
from collections import abc
from dataclasses import dataclass
from typing import Final

from keysvc.errors import (
    AccessDenied,
    AuditUnavailable,
    CannotDecrypt,
    Conflict,
    KeysvcError,
    MappingStoreUnavailable,
    NotFound,
)
from keysvc.model import DENIED, LOOKED_UP, AuditEntry, AuditTrail, NameRule, Settings, SystemRecord
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.changes import UNGUARDED, AppendAudit, Change, SealAudit
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.entries import of_user
from keysvc.sso.found import Found

BY_EXTERNAL_USER: Final = 1
FROM_STORE: Final = 2
FROM_MEMORY: Final = 3
"""The positive level from which on a look-up of that kind is recorded."""
RECORDED_ALREADY: Final = 4
"""No level: it is a change, which is recorded in its own commit."""

DEADLINE_SECONDS = 15.0
"""How long a look-up waits for its entry, besides the mapping store's own time-outs."""


def negative_level(error: KeysvcError) -> int:
    """The negative level from which on a look-up that failed so is recorded."""
    if isinstance(error, AccessDenied | CannotDecrypt):
        return 1
    return 2 if isinstance(error, NotFound | Conflict) else 3


@dataclass(slots=True)
class _Waiting:
    entry: AuditEntry
    done: bool = False
    error: KeysvcError | None = None


class LookupAudit:
    """Thread-safe. The levels are the system's, read again after `interval` seconds."""

    def __init__(
        self,
        store: MappingStore,
        system: SystemRecord,
        keys: abc.Callable[[], AuditKeys | None],
        interval: abc.Callable[[], float],
    ) -> None:
        self._store = store
        self._keys = keys
        self._interval = interval
        self._settings = system.settings
        self._read_again_at = 0.0
        self.silent_until = 0.0
        """Till then a look-up from memory is neither recorded nor refused."""
        self._waiting: list[_Waiting] = []
        self._changing = threading.Lock()
        self._committing = threading.Lock()

    @property
    def names(self) -> NameRule:
        """Which names are one, as it was read last. Asks nobody."""
        return self._settings.names

    @property
    def settings(self) -> Settings:
        """Of the system, at most an interval old; older while the mapping store cannot be reached."""
        now = elapsed()
        if now >= self._read_again_at:
            self._read_again_at = now + self._interval()
            with contextlib.suppress(MappingStoreUnavailable):
                system = self._store.system()
                self._settings = system.settings if system else self._settings
            silent = self._settings.enabled and self._settings.audit_positive_level < FROM_MEMORY
            self.silent_until = self._read_again_at if silent else 0.0
        return self._settings

    @contextlib.contextmanager
    def of(self, actor: str, application: str, user: str, level: int) -> abc.Iterator[None]:
        """Records what becomes of a look-up. Raises AuditUnavailable when that is due and cannot be done."""
        try:
            yield
        except MappingStoreUnavailable:
            raise  # nor could its entry be written
        except KeysvcError as error:
            if self._is_due(error):
                self._record(of_user(actor, LOOKED_UP, application, user, result=error.code))
            raise
        self.succeeded(actor, application, user, level)

    def succeeded(self, actor: str, application: str, user: str, level: int) -> None:
        """Records a look-up where `level` asks for it. Raises AuditUnavailable."""
        if self.settings.audit_positive_level >= level:
            self._record(of_user(actor, LOOKED_UP, application, user))

    def refused(self, actor: str, right: str, found: Found, error: KeysvcError) -> None:
        """Records, where the negative level asks for it, an operation that the caller has no `right` to. Names that
        the mapping store does not know are left out. Raises AuditUnavailable."""
        if self._is_due(error):
            self._record(of_user(actor, DENIED, *found.known_names(), {"right": right}, result=error.code))

    def _is_due(self, error: KeysvcError) -> bool:
        return self.settings.audit_negative_level >= negative_level(error)

    def _record(self, entry: AuditEntry) -> None:
        """With others that wait, in one commit: a disk that takes a millisecond to be sure is waited for once."""
        mine = _Waiting(entry)
        with self._changing:
            self._waiting.append(mine)
        if not self._committing.acquire(timeout=DEADLINE_SECONDS):
            raise _unavailable("another entry has been waiting for the mapping store for long")
        try:
            if not mine.done:
                self._commit_waiting()
        finally:
            self._committing.release()
        if mine.error is not None:
            raise _unavailable(str(mine.error)) from None

    def _commit_waiting(self) -> None:
        with self._changing:
            together, self._waiting = self._waiting, []
        changes: list[Change] = [AppendAudit(waiting.entry) for waiting in together]
        keys = self._keys()
        if keys is not None:
            changes.append(SealAudit(AuditTrail.LOOKUPS, keys))
        error: KeysvcError | None = None
        try:
            self._store.commit(changes, UNGUARDED)
        except KeysvcError as why:
            error = why
        for waiting in together:
            waiting.error, waiting.done = error, True


def _unavailable(why: str) -> AuditUnavailable:
    return AuditUnavailable(f"the look-up could not be recorded in the audit, and nothing is given out without: {why}")
