"""Asking the master secret server every poll interval whether anything changed, and fetching what is new."""

from __future__ import annotations

import math
import random
import threading
from collections import abc
from typing import Protocol

from keysvc.errors import KeysvcError, MasterSecretServerUnavailable, ProtocolError, Revoked
from keysvc.model import Announcement, MasterSecret, SecretBytes, VersionId, Versions
from keysvc.plugin.background import lasting
from keysvc.plugin.clock import elapsed
from keysvc.plugin.heartbeat import NoOp, Resting
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger
from keysvc.sso.sealed_cache import SealedCache
from keysvc.sso.version_cache import VersionCache

log = get_logger("keysvc.poller")
JITTER = 0.1
FIRST_RETRY_SECONDS = 0.25
HURRY_SECONDS = 1.0
"""The longest pause between attempts while encrypting is still permitted: a standby may take over any moment."""
LONGEST_WAIT_SECONDS = 25.0


class MasterSecretServer(Protocol):
    """What an SSO server asks of the master secret server; `keysvc.web.master.client` speaks it over mutual TLS."""

    def poll(self, versions_held: tuple[VersionId, ...], etag: str | None, *, wait: float = 0.0) -> Announcement | None:
        """None: nothing changed since `etag`, nor in the next `wait` seconds.

        Raises MasterSecretServerUnavailable, AccessDenied, ProtocolError."""

    def fetch(self, version: int) -> SecretBytes:
        """The material of a version. Raises as `poll`, and KeyStoreError."""

    def leave(self) -> None:
        """Say that this process encrypts no more. Never raises."""

    def close(self) -> None:
        """Repeatable."""


class Poller:
    """Keeps a `VersionCache` up to date. One thread polls; `poll_now` may be called by any other."""

    def __init__(
        self,
        master: MasterSecretServer,
        cache: VersionCache,
        system_id: str,
        after_poll: abc.Callable[[], None],
        on_revoked: abc.Callable[[], object],
        *,
        long_poll: bool = False,
        sealed: SealedCache | None = None,
    ) -> None:
        self._master = master
        self._sealed = sealed
        self._sealed_until = math.inf
        self._long_poll = long_poll
        self._waiting = False
        self._after_poll, self._on_revoked = after_poll, on_revoked
        self._cache = cache
        self._system_id = system_id
        self._one_at_a_time = threading.Lock()
        self._stopping = threading.Event()
        self._resting = Resting()
        self._thread = lasting("poller", self._poll_for_ever, self._stopping.is_set)
        self.problem: KeysvcError | None = None

    def start(self) -> None:
        """Poll once now, then in the background. Never raises: `problem` says what is wrong."""
        self._try()
        self._thread.start()

    def stop(self) -> None:
        """Stop polling and say goodbye. Repeatable."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._resting.wake()
            if self._thread.is_alive() and not self._waiting:
                self._thread.join()
            self._master.leave()
            self._master.close()
            if self._sealed is not None:
                self._sealed.close()

    def ask(self, no_op: NoOp) -> None:
        """Hand the thread that polls a no-op, which it calls when it gets to it."""
        self._resting.ask(no_op)

    def poll_now(self) -> None:
        """Poll, fetch what is new, and tell the master that it is held. Raises what the master secret server's client
        raises; what is cached stays, unless it raises Revoked."""
        with self._one_at_a_time:
            try:
                while self._poll_once():
                    pass
            except Revoked:
                self._cache.forget()
                self._on_revoked()
                if self._sealed is not None:
                    self._sealed.destroy()
                raise

    def _poll_once(self) -> bool:
        """True when something new was fetched, which the next poll reports."""
        epoch, before = self._epoch(), elapsed()
        answer = self._master.poll(self._cache.held(), self._etag())
        if answer is None:
            self._cache.permit(before, epoch)
            self._confirm(self._cache.announcement)
            return False
        self._check(answer)
        fetched, failed = [], None
        for record in self._cache.missing(answer.versions):
            try:
                secret = MasterSecret(record.version, record.created_at, self._master.fetch(record.version))
            except KeysvcError as error:
                failed = error
                continue
            if not record.describes(secret):
                raise ProtocolError(f"the master secret server sent another secret as version {record.version}")
            fetched.append(secret)
        self._cache.replace(answer, fetched)
        self._confirm(answer, fetched)
        if answer.active is not None and not self._cache.missing(Versions([answer.active])):
            self._cache.permit(before, answer.epoch)
        if failed is not None:
            raise failed
        return bool(fetched)

    def _confirm(self, announcement: Announcement | None, fetched: abc.Sequence[MasterSecret] = ()) -> None:
        self._sealed_until = math.inf
        if self._sealed is not None and announcement is not None:
            self._sealed.confirm(announcement, fetched)

    def load_sealed(self, store: MappingStore) -> None:
        """Take over what an earlier process of this machine left sealed, when the master secret server gave nothing."""
        away = isinstance(self.problem, MasterSecretServerUnavailable)
        if self._sealed is not None and away and not self._cache.held():
            secrets, left = self._sealed.load(store)
            if secrets:
                self._cache.load(secrets, self._system_id)
                self._sealed_until = elapsed() + left.total_seconds()
                log.warning("decrypting with versions of the sealed cache", versions=[s.version for s in secrets])

    def _etag(self) -> str | None:
        """Of what is in memory, when that is complete."""
        known = self._cache.announcement
        return known.etag if known and len(self._cache.held()) == len(known.versions) else None

    def _epoch(self) -> int:
        """Under which a poll that finds nothing new is answered."""
        known = self._cache.announcement
        return known.epoch if known else 0

    def _wait_for_change(self) -> bool:
        """One waiting poll. True when another is to fetch what has changed: meanwhile anyone may have polled."""
        epoch, etag, before = self._epoch(), self._etag(), elapsed()
        if etag is None:
            return True
        wait = min(LONGEST_WAIT_SECONDS, self._cache.interval() * 2 / 3)
        self._waiting = True
        try:
            nothing_new = self._master.poll(self._cache.held(), etag, wait=wait) is None
        finally:
            self._waiting = False
        if nothing_new:
            self._cache.permit(before, epoch)
            self._confirm(self._cache.announcement)
            if elapsed() - before < wait / 2:  # it does not wait, and is not to be hurried
                self._resting.rest(self._cache.interval())
        return not nothing_new

    def _check(self, answer: Announcement) -> None:
        if answer.system_id != self._system_id:
            raise ProtocolError(f"the master secret server is of system {answer.system_id}, not {self._system_id}")
        known = self._cache.announcement
        if known is not None and answer.epoch < known.epoch:
            raise ProtocolError(
                f"the answer is of epoch {answer.epoch}, and {known.epoch} was seen: its sender is fenced"
            )

    def _try(self, *, wait: bool = False) -> bool:
        try:
            if not wait or self._wait_for_change():
                self.poll_now()
        except KeysvcError as error:
            if self._stopping.is_set():
                return False
            if self.problem is None or str(self.problem) != str(error):
                log.warning("the master secret server did not answer well", problem=str(error))
            self.problem = error
            if elapsed() > self._sealed_until:
                log.warning("the versions of the sealed cache are too old now: forgotten")
                self._cache.forget()
                self._sealed_until = math.inf
            return False
        if self.problem is not None:
            log.info("the master secret server answers again")
        self.problem = None
        return True

    def _poll_for_ever(self) -> None:
        retry = FIRST_RETRY_SECONDS
        pause = self._first_pause() if self.problem is None else retry
        while True:
            self._resting.rest(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  spreads polls
            if self._stopping.is_set():
                return
            back = self.problem is not None
            if self._try(wait=self._long_poll and not back):
                retry, pause = FIRST_RETRY_SECONDS, self._first_pause() if back else self._pause()
            else:
                retry = min(2 * retry, HURRY_SECONDS if self._cache.permitted else self._cache.interval())
                pause = retry
            self._after_poll()

    def _pause(self) -> float:
        return 0.0 if self._long_poll else self._cache.interval()

    def _first_pause(self) -> float:
        """Any part of the interval: servers that started, or found another master, all at once do not go on so."""
        return self._pause() * random.random()  # noqa: S311  spreads polls

    def unavailable(self, what: str) -> MasterSecretServerUnavailable:
        """The error for something that needs the master secret server now."""
        why = f": {self.problem}" if self.problem is not None else ""
        return MasterSecretServerUnavailable(f"{what}{why}")
