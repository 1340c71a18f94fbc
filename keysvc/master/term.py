"""The time for which this process is the one master secret server: take the lease, renew it, notice its loss."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections import abc
from datetime import timedelta

from keysvc.errors import Fenced, KeysvcError, LeaseHeld, MappingStoreUnavailable, MasterSecretServerUnavailable
from keysvc.model import Guard, Lease, VersionId
from keysvc.plugin.changes import Change
from keysvc.plugin.clock import elapsed
from keysvc.plugin.heartbeat import Silent, nobody_silent
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.lease")


def holder_name() -> str:
    """Host, process and a random part: tells a restarted process from its predecessor."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


MAINTENANCE_TTL = timedelta(seconds=30)
"""The lease of a command that works in place of the master secret server; `hold` renews it."""


class Term:
    """The time for which this process is the master secret server, as far as it knows.

    Whether it may act is judged by a clock that nobody can set and that goes on while the machine sleeps, from before
    each request, so that a jump of any wall clock changes nothing; and each write is conditional on the epoch anyway.
    """

    def __init__(self, store: MappingStore, ttl: timedelta, holder: str | None = None, url: str = "") -> None:
        self._store = store
        self._ttl = ttl
        self.holder = holder or holder_name()
        self._url = url
        self._lease: Lease | None = None
        self._valid_until = 0.0
        self._unsure = False
        self.renewals = 0
        self._renewing = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def epoch(self) -> int:
        """The epoch granted. Raises MasterSecretServerUnavailable before that."""
        return self._held().epoch

    def _held(self) -> Lease:
        if self._lease is None:
            raise MasterSecretServerUnavailable("this process is not the master secret server")
        return self._lease

    def commit(self, *changes: Change, active: VersionId | None = None) -> None:
        """Commit all changes or none, if this term has not ended and, where one is given, version `active` is still the
        active one. Every write of the master secret server goes through here. Raises Fenced, StaleVersion, Conflict."""
        self._store.commit(changes, Guard(self.epoch, active))

    @property
    def valid(self) -> bool:
        """Whether the lease surely still runs."""
        return self._lease is not None and elapsed() < self._valid_until

    @property
    def remaining_seconds(self) -> float:
        """How long the lease surely still runs."""
        return max(0.0, self._valid_until - elapsed()) if self._lease is not None else 0.0

    def require(self) -> None:
        """Raises MasterSecretServerUnavailable unless the lease surely still runs."""
        if not self.valid:
            raise MasterSecretServerUnavailable(
                "this master secret server does not hold the lease now",
                hint="`keysvc status` names the master secret server; this one goes on when the mapping store is back",
            )

    def acquire(self) -> None:
        """Take the lease, waiting for a holder that died: at most one TTL. Raises LeaseHeld when the holder lives."""
        first_seen = self._store.lease()
        deadline = elapsed() + self._ttl.total_seconds() + 1
        while not self._try():
            current = self._store.lease()
            renewed = current and first_seen and current.expires_at > first_seen.expires_at
            if renewed or (current and first_seen and current.holder != first_seen.holder) or elapsed() > deadline:
                holder = current.holder if current else "another process"
                raise LeaseHeld(f"{holder} is the master secret server of this system, and alive")
            if first_seen is None:
                first_seen = current
            elif current is not None:
                log.info("waiting for the lease of a master that went away", holder=current.holder)
            time.sleep(min(0.5, self._ttl.total_seconds() / 10))

    def take_or_refuse(self) -> None:
        """Take the lease at once. Raises LeaseHeld when anybody has it."""
        if not self._try():
            current = self._store.lease()
            holder = current.holder if current else "another process"
            raise LeaseHeld(
                f"{holder} is the master secret server of this system",
                hint="stop that `keysvc serve` first; if it was killed, its lease ends by itself in a moment",
            )

    def _try(self) -> bool:
        before = elapsed()
        lease = self._store.grant_lease(self.holder, self._ttl, self._url)
        if lease is None:
            return False
        self._lease, self._valid_until = lease, before + self._ttl.total_seconds()
        return True

    def keep(self, lost: abc.Callable[[Fenced], None], silent: Silent = nobody_silent) -> None:
        """Renew in the background, every third of the lease, until `release`; call `lost` once when another epoch was
        granted. A renewal waits until nobody was `silent` for a third: a lease without service would keep a standby
        from taking over."""
        self._thread = threading.Thread(target=self._renew_for_ever, args=(lost, silent), name="lease", daemon=True)
        self._thread.start()

    def _renew_for_ever(self, lost: abc.Callable[[Fenced], None], silent: Silent) -> None:
        third = self._ttl.total_seconds() / 3
        while not self._stopping.wait(third):
            if names := silent(third):
                log.warning("the lease is not renewed: a thread does not answer", silent=names, still_valid=self.valid)
                continue
            try:
                self.renew()
            except Fenced as error:
                lost(error)
                return
            except KeysvcError as error:
                log.warning("the lease could not be renewed", problem=str(error), still_valid=self.valid)

    def renew(self) -> None:
        """Renew the lease once. Any thread may call it. Raises Fenced, MappingStoreError."""
        with self._renewing:  # two at once would take each other for a copy of this process
            before = elapsed()
            lease = self._as_recorded() if self._unsure else self._held()
            self._unsure = True
            try:
                self._lease = self._store.renew_lease(lease, self._ttl)
            except Fenced:
                self._valid_until = 0.0
                raise
            self._unsure = False
            self.renewals += 1
            self._valid_until = before + self._ttl.total_seconds()

    def _as_recorded(self) -> Lease:
        """The lease as the mapping store has it: the last answer was lost, and it may have been prolonged even so."""
        mine, recorded = self._held(), self._store.lease()
        same = recorded is not None and (recorded.holder, recorded.epoch) == (mine.holder, mine.epoch)
        return recorded if recorded is not None and same else mine

    def raise_epoch(self) -> None:
        """Take the lease once more, before `keep`. Raises Fenced when another process took it."""
        if not self._try():
            raise Fenced("another process took the lease")

    def release(self) -> None:
        """Stop renewing and let another take over at once. Repeatable."""
        self._stopping.set()
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join()
        lease, self._lease, self._valid_until = self._lease, None, 0.0
        if lease is not None:
            try:
                self._store.release_lease(lease)
            except MappingStoreUnavailable as error:
                log.warning("the lease ends by itself", problem=str(error))


@contextlib.contextmanager
def hold(store: MappingStore, *, wait: bool = False, above: int = 0) -> abc.Iterator[Term]:
    """Be the master for as long as the block runs: renew the lease meanwhile, and release it at the end.

    With `wait`, wait for a holder that died. The epoch will be higher than `above`. A block that runs for long asks
    `require` before each step; each commit is conditional on the epoch anyway. Raises LeaseHeld.
    """
    term = Term(store, MAINTENANCE_TTL)
    if wait:
        term.acquire()
    else:
        term.take_or_refuse()
    try:
        while term.epoch <= above:
            term.raise_epoch()
        term.keep(lambda _fenced: None)  # `require` and every commit say it
        yield term
    finally:
        term.release()
