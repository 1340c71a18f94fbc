"""What keeps a rotation from going on, told once a day while it lasts. Read from the data, so that a failover tells no
other story."""

from __future__ import annotations

import time
from collections import abc
from datetime import timedelta

from keysvc.master.events import EventKind, event
from keysvc.master.term import Term
from keysvc.model import RotationSettings, Server, VersionRecord, utc_now
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.rotation")
WAITING_LONG = timedelta(minutes=5)
PAUSED_LONG = timedelta(days=1)
REPEAT_SECONDS = 86400.0


class Hindrances:
    """Called by the one worker of the master secret server."""

    def __init__(self, store: MappingStore, term: Term) -> None:
        self._store = store
        self._term = term
        self._told: dict[tuple[EventKind, str], float] = {}

    def paused(self, settings: RotationSettings, goes_on: bool) -> None:
        """Somebody paused it, and may have forgotten: told only while there is something to do (`goes_on`)."""
        if goes_on and settings.paused_at is not None and utc_now() - settings.paused_at >= PAUSED_LONG:
            self.tell(
                EventKind.ROTATION_STALLED, "paused", f"it is paused since {settings.paused_at:%Y-%m-%d %H:%M} UTC"
            )

    def waiting(self, announced: VersionRecord, servers: abc.Sequence[Server]) -> None:
        """Live SSO servers do not hold the version that is announced."""
        if utc_now() - announced.created_at >= WAITING_LONG:
            names = ", ".join(sorted({server.name for server in servers})[:5])
            why = f"{len(servers)} live SSO servers do not hold version {announced.version}: {names}"
            self.tell(EventKind.ROTATION_STALLED, f"version {announced.version}", why)

    def undecryptable(self, count: int, active: int) -> None:
        """A whole walk left rows behind."""
        if count:
            why = f"{count} credentials do not decrypt and stay under their old version, named by: keysvc secret verify"
            self.tell(EventKind.ROTATION_FAILED, f"version {active}", why)

    def tell(self, kind: EventKind, subject: str, why: str) -> None:
        """An event and a line of the log, unless the same was told within a day."""
        now = time.monotonic()
        if now < self._told.get((kind, subject), 0.0):
            return
        self._term.commit(event(kind, subject=subject, why=why))
        self._told[kind, subject] = now + REPEAT_SECONDS
        log.warning("a rotation does not go on", subject=subject, why=why)
