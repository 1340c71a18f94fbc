"""How the notifiers of a master secret server do: what waits for each, what was parked, and how to offer it again."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass
from datetime import datetime

from keysvc.errors import NotFound
from keysvc.master.delivery import Subscription
from keysvc.master.events import EventKind, audit, event
from keysvc.master.term import Term
from keysvc.model import Severity
from keysvc.plugin.changes import RetryEvent
from keysvc.plugin.interfaces import MappingStore

MANY = 1000


@dataclass(frozen=True, slots=True)
class NotifierState:
    """One notifier, which events it gets, and how many are pending or parked, counted up to 1,000. `problem` is
    why it does not accept now; empty while it does."""

    name: str
    events: tuple[str, ...]
    severity: Severity
    pending: int
    parked: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that a notifier refused, or did not accept for long."""

    event_id: str
    kind: str
    at: datetime
    notifier: str
    reason: str
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class NotifierStates:
    """All of them, with the oldest 1,000 events that are parked."""

    notifiers: tuple[NotifierState, ...]
    parked: tuple[Parked, ...]


def notifier_states(
    store: MappingStore, subscriptions: abc.Iterable[Subscription], problems: abc.Mapping[str, str]
) -> NotifierStates:
    """Read them now."""
    found = store.parked_events(MANY)
    parked = tuple(Parked(p.event.event_id, p.event.kind, p.event.at, p.notifier, p.reason, p.parked_at) for p in found)
    notifiers = tuple(
        NotifierState(
            each.name,
            tuple(each.patterns),
            each.minimum,
            len(store.events(MANY, pending_for=each.name)),
            sum(one.notifier == each.name for one in parked),
            problems.get(each.name, ""),
        )
        for each in subscriptions
    )
    return NotifierStates(notifiers, parked)


def parked_as_named(store: MappingStore, event_id: str = "", notifier: str = "") -> abc.Sequence[RetryEvent]:
    """Return what offers parked events again: one, those of one notifier, or all. Raises NotFound when an event is
    named that is not parked."""
    wanted = [
        RetryEvent(parked.event.event_id, parked.notifier)
        for parked in store.parked_events(MANY)
        if event_id in {"", parked.event.event_id} and notifier in {"", parked.notifier}
    ]
    if not wanted and event_id:
        raise NotFound(f"the event {event_id} is not parked", hint="keysvc notify list")
    return wanted


def retry_parked(store: MappingStore, term: Term, actor: str, event_id: str = "", notifier: str = "") -> int:
    """Offer parked events again, and record it. Return how many. Raises as `parked_as_named`."""
    wanted = parked_as_named(store, event_id, notifier)
    if wanted:
        subject = event_id or notifier or "all"
        term.commit(*wanted, audit(actor, "notifier.retried", subject, events=len(wanted)))
    return len(wanted)


def send_test(term: Term, actor: str) -> None:
    """Put a test event into the outbox: every notifier that wants such events is offered it, as any other."""
    term.commit(event(EventKind.NOTIFIER_TEST, subject=actor))
