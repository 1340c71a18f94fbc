"""From the outbox to the notifiers: at least once, in order for each, and none of them waits for another."""

from __future__ import annotations

import random
import threading
from collections import abc
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase

from keysvc.errors import Fenced, KeysvcError, NotifierRefused, NotifierUnavailable
from keysvc.master.term import Term
from keysvc.model import Event, Severity, utc_now
from keysvc.plugin.changes import Change, EventDelivered, ForgetEvents, ParkEvent
from keysvc.plugin.interfaces import MappingStore, Notifier
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.delivery")
PAGE = 50
LOOK_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
LONGEST_WAIT_SECONDS = 3600.0
"""How long a receiver may ask to be left alone."""
GIVE_UP_AFTER = timedelta(days=7)
STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Subscription:
    """A notifier, and what it wants: events whose kind matches one of `patterns` (`rotation.*`) and whose severity
    reaches `minimum`. The outbox remembers by `name` what it accepted."""

    name: str
    notifier: Notifier
    patterns: tuple[str, ...] = ("*",)
    minimum: Severity = Severity.INFORMATIONAL

    def wants(self, event: Event) -> bool:
        """Whether the event is offered to the notifier."""
        return event.severity.reaches(self.minimum) and any(fnmatchcase(event.kind, each) for each in self.patterns)


class Delivery:
    """One thread a notifier, so that a slow or dead one delays no other and nothing else."""

    def __init__(self, store: MappingStore, term: Term, subscriptions: abc.Sequence[Subscription]) -> None:
        self._store = store
        self._term = term
        self._couriers = [_Courier(store, term, subscription) for subscription in subscriptions]
        self._is_started = False

    def start(self) -> None:
        """Deliver what is pending, and what comes, while the lease is held."""
        self._is_started = True
        for courier in self._couriers:
            courier.start()

    def subscribe(self, subscriptions: abc.Sequence[Subscription]) -> None:
        """Deliver to these from now on. Those that stay go on where they are; nothing is delivered to the others any
        more, unless one hangs. Call it from one thread at a time."""
        before = {courier.subscription: courier for courier in self._couriers}
        after = {each: before.get(each) or _Courier(self._store, self._term, each) for each in subscriptions}
        self._couriers = list(after.values())
        _stop([courier for subscription, courier in before.items() if subscription not in after])
        for courier in self._couriers:
            if self._is_started and not courier.is_alive():
                courier.start()

    def stop(self) -> None:
        """A notifier that hangs is not waited for: what it was given is offered again by the next master."""
        _stop(self._couriers)

    def wake(self) -> None:
        """There may be something new."""
        for courier in self._couriers:
            courier.wake()

    def forget_delivered(self) -> None:
        """Take out of the outbox what every notifier has. Raises Fenced, MappingStoreUnavailable."""
        if self._store.events(1):
            names = tuple(courier.subscription.name for courier in self._couriers)
            self._term.commit(ForgetEvents(names))

    @property
    def subscriptions(self) -> abc.Sequence[Subscription]:
        """Which events each notifier gets."""
        return [courier.subscription for courier in self._couriers]

    def problems(self) -> abc.Mapping[str, str]:
        """Which notifiers do not accept now, and why."""
        return {each.subscription.name: each.problem for each in self._couriers if each.problem}


def _stop(couriers: abc.Sequence[_Courier]) -> None:
    for courier in couriers:
        courier.stop()
    for courier in couriers:
        if courier.is_alive():
            courier.join(STOP_SECONDS)


class _Courier(threading.Thread):
    """Offers one notifier the oldest event that it has not accepted, until it does."""

    def __init__(self, store: MappingStore, term: Term, subscription: Subscription) -> None:
        super().__init__(name=f"notifier {subscription.name}", daemon=True)
        self.subscription = subscription
        self.problem = ""
        self._store = store
        self._term = term
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._pause = FIRST_PAUSE_SECONDS
        self._asked_for = 0.0

    def stop(self) -> None:
        self._stopping.set()
        self._something.set()

    def wake(self) -> None:
        self._something.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            self._something.clear()
            try:
                if self._term.valid:
                    self._deliver_pending()
            except Fenced:
                return
            except KeysvcError as error:  # the mapping store's; the master's worker tells of it
                log.debug("the outbox cannot be read or written", problem=str(error))
            if self.problem:
                pause = self._pause * random.uniform(0.8, 1.2)  # noqa: S311  spreads them; no secret
                self._stopping.wait(max(pause, self._asked_for))
            else:
                self._something.wait(LOOK_SECONDS)

    def _deliver_pending(self) -> None:
        while page := self._store.events(PAGE, pending_for=self.subscription.name):
            for event in page:
                done = self._offered(event)
                if done is None:
                    return
                self._term.commit(done)
                if self._stopping.is_set():
                    return

    def _offered(self, event: Event) -> Change | None:
        """What to note of the event; None when it must be offered again."""
        name = self.subscription.name
        if not self.subscription.wants(event):
            return EventDelivered(event.event_id, name)
        try:
            self.subscription.notifier.deliver(event)
        except NotifierUnavailable as error:
            if utc_now() - event.at < GIVE_UP_AFTER:
                self._put_off(error)
                return None
            return self._parked(event, f"given up after {GIVE_UP_AFTER.days} days: {error}")
        except NotifierRefused as error:
            return self._parked(event, str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001  its text could hold a secret
            return self._parked(event, f"the notifier failed: {type(error).__name__}")
        self._works_again()
        return EventDelivered(event.event_id, name)

    def _put_off(self, error: NotifierUnavailable) -> None:
        if not self.problem:
            log.warning("a notifier is unavailable", notifier=self.subscription.name, problem=str(error))
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self._asked_for = min(max(0.0, error.retry_after or 0.0), LONGEST_WAIT_SECONDS)
        self.problem = str(error)

    def _works_again(self) -> None:
        if self.problem:
            log.info("a notifier works again", notifier=self.subscription.name)
        self.problem, self._pause, self._asked_for = "", FIRST_PAUSE_SECONDS, 0.0

    def _parked(self, event: Event, reason: str) -> ParkEvent:
        log.error("an event was not accepted", notifier=self.subscription.name, kind=event.kind, problem=reason)
        self._works_again()
        return ParkEvent(event.event_id, self.subscription.name, reason, utc_now())
