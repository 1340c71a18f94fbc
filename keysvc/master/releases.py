"""Which releases may open the mapping store. The oldest of them rises when no member has an older one any more."""

from __future__ import annotations

from datetime import timedelta

from keysvc.master.events import audit
from keysvc.master.servers import LiveServers
from keysvc.master.term import Term
from keysvc.model import Role
from keysvc.plugin.changes import RaiseOldestReader
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.master")
RAISED = "system.oldest-reader-raised"
WAIT_INTERVALS = 10
"""A master secret server hears its members for so many poll intervals before it judges which releases they have."""


class Releases:
    """Of the members of one system. Only the worker of the master secret server calls it."""

    def __init__(self, store: MappingStore, term: Term, live: LiveServers, name: str, poll_interval: timedelta) -> None:
        """`name` is of the certificate of this master secret server."""
        self._store, self._term, self._live, self._name = store, term, live, name
        self._wait_until = elapsed() + WAIT_INTERVALS * poll_interval.total_seconds()
        info = store.info()
        self._own, self._oldest = info.newest_schema, info.oldest_reader

    def raise_oldest_reader(self) -> None:
        """Refuse the releases that no member has any more: no SSO server that polled within a day, and no master that
        is enrolled. A master that does not poll may have any. Raises Fenced, MappingStoreError."""
        if self._oldest >= self._own or elapsed() < self._wait_until:
            return
        known = self._live.schema_versions()
        lowest = min([self._own, *known.values()])
        if lowest <= self._oldest or self._absent_masters(known):
            return
        entry = audit(self._name, RAISED, f"schema {lowest}", before=self._oldest)
        self._term.commit(RaiseOldestReader(lowest), entry)
        log.info("releases that know no newer schema may not open the mapping store any more", schema=lowest)
        self._oldest = lowest

    def _absent_masters(self, known: dict[tuple[str, str], int]) -> set[str]:
        enrolled = {i.name for i in self._store.identities() if i.role is Role.MASTER and i.revoked_at is None}
        return enrolled - {self._name} - {name for name, _instance in known}
