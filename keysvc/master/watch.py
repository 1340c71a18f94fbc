"""Looking after the stores: whether they answer, and which protector could open which version."""

from __future__ import annotations

import math
import threading
import time
from collections import abc
from dataclasses import replace
from datetime import datetime

from keysvc.errors import KeyStoreError, KeysvcError, MappingStoreUnavailable
from keysvc.master.events import EventKind, event
from keysvc.master.protectors import Protectors, ProtectorStatus
from keysvc.master.secrets import UnsealedVersions
from keysvc.master.term import Term
from keysvc.model import utc_now
from keysvc.plugin.changes import AppendEvent
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.key_store")
LOOK_SECONDS = 30.0
PROVE_SECONDS = 86400.0
PROVE_AGAIN_SECONDS = 600.0
"""After a proof that failed: a protector does not open every version, or the mapping store was away."""


class KeyStoreWatch(threading.Thread):
    """A thread of its own, because a key store may take a minute to say that it cannot be reached. Polls, look-ups and
    rotations never wait for it."""

    def __init__(
        self,
        store: MappingStore,
        term: Term,
        protectors: Protectors,
        secrets: UnsealedVersions,
        finish_destroying: abc.Callable[[], None],
    ) -> None:
        """`finish_destroying` removes from the key store what should have been removed before."""
        super().__init__(name="key store", daemon=True)
        self._store = store
        self._term = term
        self._protectors = protectors
        self._secrets = secrets
        self._finish_destroying = finish_destroying
        self._prove_at = -math.inf
        self._soon = threading.Event()
        self._stopping = False
        self.problem = ""
        self.proved: tuple[ProtectorStatus, ...] = ()

    def look_soon(self, *, prove: bool = False) -> None:
        """Something failed; or a version came or went, and every protector is to be proved."""
        if prove:
            self._prove_at = -math.inf
        self._soon.set()

    def stop(self) -> None:
        """Does not wait: a key store may hang."""
        self._stopping = True
        self._soon.set()

    def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            self._soon.clear()
            try:
                if self._term.valid:
                    self._look()
            except KeysvcError as error:
                log.debug("looked in vain", problem=str(error))
            self._soon.wait(LOOK_SECONDS)

    def _look(self) -> None:
        problem = self._answer()
        if bool(problem) != bool(self.problem):
            self._tell(problem)
            self._prove_at = -math.inf
        self.problem = problem
        if self._secrets.problems and not problem:
            self._unseal_again()
        if not problem:
            self._finish_destroying()
        if time.monotonic() >= self._prove_at:
            self._prove_at = time.monotonic() + PROVE_AGAIN_SECONDS
            self._prove()

    def _answer(self) -> str:
        before = self._store.versions().live.numbers
        try:
            sealed = set(self._protectors.versions())
        except KeyStoreError as error:
            return str(error)
        missing = before & self._store.versions().live.numbers - sealed
        return f"it does not hold version {min(missing)} any more" if missing else ""

    def _tell(self, problem: str) -> None:
        url = self._protectors.info().url
        happened = (
            event(EventKind.KEY_STORE_AWAY, subject=url, problem=problem)
            if problem
            else event(EventKind.KEY_STORE_BACK, subject=url)
        )
        self._term.commit(happened)
        if problem:
            log.error("the key store does not answer; what is held serves on", key_store=url, problem=problem)
        else:
            log.info("the key store answers again", key_store=url)

    def _unseal_again(self) -> None:
        before = set(self._secrets.problems)
        self._secrets.load(self._store.versions())
        for version in sorted(before - self._secrets.problems.keys()):
            log.info("a version can be unsealed again", version=version)

    def _prove(self) -> None:
        versions = self._store.versions()
        self._protectors.finish_destroying(versions.destroyed)
        self.proved = self._protectors.prove(versions)
        if not any(protector.problem for protector in self.proved):
            self._prove_at += PROVE_SECONDS  # which is still at once when another thread asked for it meanwhile


class MappingStoreOutage:
    """An event cannot be written while the mapping store is away: beginning and end are told together."""

    def __init__(self, store: MappingStore, term: Term) -> None:
        self._store = store
        self._term = term
        self._since: datetime | None = None
        self._problem = ""

    def began(self, error: MappingStoreUnavailable) -> None:
        """It did not answer. Repeatable: the first time counts."""
        if self._since is None:
            self._since, self._problem = utc_now(), str(error)

    def ended(self) -> None:
        """It answers. Raises Fenced, MappingStoreUnavailable."""
        if self._since is None:
            return
        url, now = self._store.info().url, utc_now()
        away = event(EventKind.MAPPING_STORE_AWAY, subject=url, problem=self._problem)
        back = event(EventKind.MAPPING_STORE_BACK, subject=url, seconds=round((now - self._since).total_seconds()))
        began = AppendEvent(replace(away.event, at=self._since))
        self._term.commit(began, back)
        self._since = None
