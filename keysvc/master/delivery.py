"""From the outbox to the notifiers, at least once. A notifier that fails delays only the outbox, nothing else."""

from __future__ import annotations

from collections import abc

import structlog

from keysvc.changes import EventDelivered
from keysvc.errors import NotifierRefused, NotifierUnavailable
from keysvc.interfaces import MappingStore, Notifier
from keysvc.master.lease import Leadership
from keysvc.model import Event

log = structlog.get_logger("keysvc.delivery")
PAGE = 50


class Delivery:
    """Called by the one worker of the master secret server."""

    def __init__(self, store: MappingStore, leadership: Leadership, notifiers: abc.Sequence[Notifier]) -> None:
        self._store = store
        self._leadership = leadership
        self._notifiers = notifiers
        self._accepted: dict[str, set[int]] = {}

    def deliver_pending(self) -> None:
        """Offer each pending event, oldest first, to each notifier that has not accepted it yet; stop at the first that
        must be repeated, so that order is kept."""
        for event in self._store.pending_events(PAGE):
            if not self._offer(event):
                return
            self._store.commit([EventDelivered(event.event_id)], self._leadership.guard)
            self._accepted.pop(event.event_id, None)

    def _offer(self, event: Event) -> bool:
        accepted = self._accepted.setdefault(event.event_id, set())
        for position, notifier in enumerate(self._notifiers):
            if position in accepted:
                continue
            try:
                notifier.deliver(event)
            except NotifierUnavailable as error:
                log.warning("a notifier is unavailable", kind=event.kind, problem=str(error))
                continue
            except NotifierRefused as error:
                log.error("a notifier refused an event", kind=event.kind, problem=str(error))
            except Exception as error:  # noqa: BLE001  a plugin's mistake must not stop the master secret server
                log.error("a notifier failed", kind=event.kind, problem=type(error).__name__)
            accepted.add(position)
        return len(accepted) == len(self._notifiers)
