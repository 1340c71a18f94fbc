"""Credentials that were looked up, kept decrypted in memory: decision 0006 says for how long, and why."""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import dataclass, replace

from keysvc.errors import AccessDenied, AuthorizerUnavailable, CannotDecrypt, MappingStoreUnavailable, NotFound
from keysvc.model import NameRule
from keysvc.plugin.clock import elapsed
from keysvc.sso.credentials import Credential

MAXIMUM_ENTRIES = 10_000

Read = abc.Callable[[], tuple[Credential, bool]]
"""Reads the mapping store: the credential, and whether its application allows that it is kept."""


@dataclass(frozen=True, slots=True)
class _Entry:
    credential: Credential
    fresh_until: float
    read_at: float


class CredentialCache:
    """Thread-safe; a look-up that is answered from memory waits for nobody. An entry is of the user who was asked for:
    in a group application many hold the credential of one account.

    Names are compared by their keys, by the rule that `names` tells: when that changes, everything is forgotten.
    `interval` tells for how many seconds an entry is answered without asking the mapping store, `lifetime` for how many
    while the mapping store cannot be reached; both count from the moment before the mapping store was asked.
    """

    def __init__(
        self,
        interval: abc.Callable[[], float],
        lifetime: abc.Callable[[], float],
        names: abc.Callable[[], NameRule] = lambda: NameRule.EXACT,
    ) -> None:
        self._names, self._rule = names, names()
        self._interval = interval
        self._ask_lifetime = lifetime
        self._lifetime, self._lifetime_until = 0.0, 0.0
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._lock = threading.Lock()
        self._forgotten = 0

    def fresh(self, application: str, user: str, now: float) -> Credential | None:
        """What was read less than an interval ago."""
        entry = self._entries.get(self._key(application, user))
        return entry.credential if entry is not None and now < entry.fresh_until else None

    def through(self, application: str, user: str, read: Read, *, must_be_fresh: bool) -> Credential:
        """What `read` finds, kept. While the mapping store is away, what is in memory, unless it `must_be_fresh`."""
        before, forgotten = elapsed(), self._forgotten
        try:
            lifetime = self._known_lifetime(before)
            credential, may_be_kept = read()
        except MappingStoreUnavailable:
            entry = None if must_be_fresh else self._kept_while_away(application, user, before)
            if entry is None:
                raise
            return entry.credential
        except AuthorizerUnavailable:  # an outage, which says nothing of the credential
            raise
        except (AccessDenied, CannotDecrypt, NotFound):
            self.forget(application, user)
            raise
        if may_be_kept and lifetime > 0:
            fresh_until = before + min(self._interval(), lifetime)
            self._keep(self._key(application, user), _Entry(credential, fresh_until, before), forgotten)
        else:
            self.forget(application, user)
        return credential

    def forget(self, application: str | None = None, user: str | None = None) -> int:
        """One entry, those of an application, or all; also what another thread is reading now is not kept. Returns how
        many there were."""
        of = None if application is None else self._key(application, user or "")
        with self._lock:
            self._forgotten += 1
            if of is not None and user is not None:
                return int(self._entries.pop(of, None) is not None)
            gone = [key for key in self._entries if of is None or key[0] == of[0]]
            for key in gone:
                del self._entries[key]
            return len(gone)

    def expire(self, application: str, user: str | None = None) -> None:
        """What is in memory of an application, or of one user of it, answers only while the mapping store is away: it
        may have changed there. What another thread is reading now is not kept."""
        of = self._key(application, user or "")
        with self._lock:
            self._forgotten += 1
            for key in [key for key in self._entries if key[0] == of[0] and (user is None or key[1] == of[1])]:
                self._entries[key] = replace(self._entries[key], fresh_until=0.0)

    def rewrite(self, written: Credential, *, shared: bool) -> None:
        """Replace a credential in memory by what was just stored: it stays as fresh as it was. What another thread is
        reading now is not kept. With `shared`, other users than its own may hold it too."""
        place = written.application, written.user
        of = self._key(*place)
        with self._lock:
            self._forgotten += 1
            for key in list(self._entries) if shared else [of]:
                entry = self._entries.get(key)
                if entry is None or (entry.credential.application, entry.credential.user) != place:
                    continue
                if entry.credential.revision < written.revision:  # else another thread stored after this one
                    self._entries[key] = replace(entry, credential=written)

    def sweep(self) -> None:
        """Forget what may be used no more."""
        now = elapsed()
        with self._lock:
            for key in [key for key, entry in self._entries.items() if now >= entry.read_at + self._lifetime]:
                del self._entries[key]

    def _key(self, application: str, user: str) -> tuple[str, str]:
        rule = self._names()
        if rule is not self._rule:
            with self._lock:
                self._rule = rule
                self._forgotten += 1
                self._entries.clear()
        return rule.key(application), rule.key(user)

    def _known_lifetime(self, now: float) -> float:
        if now >= self._lifetime_until:
            self._lifetime = self._ask_lifetime()
            self._lifetime_until = now + self._interval()
        return self._lifetime

    def _keep(self, key: tuple[str, str], entry: _Entry, forgotten: int) -> None:
        """Unless something was forgotten since the reading began: it may be what was read."""
        with self._lock:
            if forgotten != self._forgotten:
                return
            self._entries.pop(key, None)
            if len(self._entries) >= MAXIMUM_ENTRIES:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = entry

    def _kept_while_away(self, application: str, user: str, now: float) -> _Entry | None:
        """Its next look-ups do not wait for the mapping store again, for an interval."""
        key = self._key(application, user)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or now >= (ends := entry.read_at + self._lifetime):
                return None
            self._entries[key] = replace(entry, fresh_until=min(now + self._interval(), ends))
            return entry
