"""Events reach each notifier at least once and in order, whatever the others and the master do."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import NotifierRefused, NotifierUnavailable
from keysvc.master import delivery
from keysvc.master.delivery import Subscription
from keysvc.model import Event, Severity, utc_now
from keysvc.plugin.changes import UNGUARDED, AppendEvent, RetryEvent


class Receiver:
    """A notifier that keeps what it accepts, does what `when_asked` does first, and may hang."""

    def __init__(self, when_asked=lambda _event: None) -> None:
        self.accepted: list[str] = []
        self.when_asked = when_asked

    def deliver(self, event: Event) -> None:
        self.when_asked(event)
        self.accepted.append(event.event_id)

    def close(self) -> None:
        pass


def unavailable(_event: Event) -> None:
    raise NotifierUnavailable("no route to it")


def happened(
    system: System, *names: str, kind: str = "backup.made", severity=Severity.NOTICE, ago=timedelta(0)
) -> None:
    events = [AppendEvent(Event(name, kind, utc_now() - ago, {}, severity)) for name in names]
    system.store().commit(events, UNGUARDED)


@pytest.fixture(autouse=True)
def _quick(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.05)
    for event in system.store().events(9):  # of configuring
        assert event.kind == "system.configured"


def names(count: int) -> list[str]:
    return [f"{number:02}" for number in range(count)]


def test_fifty_events_arrive_in_order_though_the_receiver_was_down_and_the_master_died_twice(system: System) -> None:
    receiver = Receiver(unavailable)
    for part in (names(50)[:20], names(50)[20:40], names(50)[40:]):
        master = system.start(subscriptions=[Subscription("mail", receiver)])
        happened(system, *part)
        eventually(lambda master=master: bool(master.status().warnings))
        system.stop()
    system.start(subscriptions=[Subscription("mail", receiver)])
    receiver.when_asked = lambda _event: None
    eventually(lambda: len(receiver.accepted) >= 51)
    assert receiver.accepted[1:] == names(50)
    eventually(lambda: not system.store().events(9))


def test_a_dead_and_a_hanging_notifier_delay_no_other_and_no_rotation(system: System) -> None:
    free = threading.Event()
    dead, hanging, well = Receiver(unavailable), Receiver(lambda _event: free.wait(30)), Receiver()
    subscriptions = [Subscription(*each) for each in (("dead", dead), ("hanging", hanging), ("well", well))]
    master = system.start(subscriptions=subscriptions)
    happened(system, "a", "b")
    eventually(lambda: well.accepted[1:] == ["a", "b"])
    master.rotate("administrator")
    eventually(lambda: len(well.accepted) >= 6)
    assert master.status().active_version == 2
    assert not dead.accepted
    began = time.monotonic()
    free.set()
    system.stop()
    assert time.monotonic() - began < 20


def test_what_one_notifier_accepted_is_not_offered_to_it_again_by_the_next_master(system: System) -> None:
    well, dead = Receiver(), Receiver(unavailable)
    both = [Subscription("well", well), Subscription("dead", dead)]
    system.start(subscriptions=both)
    happened(system, "a")
    eventually(lambda: well.accepted[1:] == ["a"])
    eventually(lambda: not system.store().events(9, pending_for="well"))
    system.stop()
    dead.when_asked = lambda _event: None
    system.start(subscriptions=both)
    eventually(lambda: dead.accepted[1:] == ["a"])
    assert well.accepted[1:] == ["a"]


def test_what_is_refused_is_parked_and_delivered_when_somebody_asks_for_it(system: System) -> None:
    def refuse(event: Event) -> None:
        if event.event_id == "b":
            raise NotifierRefused("no such recipient")

    receiver = Receiver(refuse)
    system.start(subscriptions=[Subscription("mail", receiver)])
    happened(system, "a", "b", "c")
    eventually(lambda: receiver.accepted[1:] == ["a", "c"])
    (parked,) = system.store().parked_events(9)
    assert (parked.event.event_id, parked.notifier, parked.reason) == ("b", "mail", "no such recipient")
    receiver.when_asked = lambda _event: None
    system.store().commit([RetryEvent("b", "mail")], UNGUARDED)
    eventually(lambda: receiver.accepted[1:] == ["a", "c", "b"])


def test_a_notifier_that_fails_is_named_without_what_it_said(system: System) -> None:
    def fail(_event: Event) -> None:
        raise RuntimeError("password=geheim")

    system.start(subscriptions=[Subscription("broken", Receiver(fail))])
    happened(system, "a")
    eventually(lambda: len(system.store().parked_events(9)) == 2)
    assert {parked.reason for parked in system.store().parked_events(9)} == {"the notifier failed: RuntimeError"}


def test_what_was_not_accepted_for_a_week_is_parked_and_lets_the_rest_through(system: System) -> None:
    def only_new(event: Event) -> None:
        if event.event_id == "old":
            unavailable(event)

    happened(system, "old", ago=timedelta(days=8))
    happened(system, "new")
    receiver = Receiver(only_new)
    system.start(subscriptions=[Subscription("mail", receiver)])
    eventually(lambda: receiver.accepted[1:] == ["new"])
    (parked,) = system.store().parked_events(9)
    assert parked.reason == "given up after 7 days: no route to it"


def test_a_notifier_gets_only_the_kinds_and_severities_that_it_wants(system: System) -> None:
    receiver, everything = Receiver(), Receiver()
    system.start(
        subscriptions=[
            Subscription("pager", receiver, ("rotation.*", "backup.overdue"), Severity.WARNING),
            Subscription("all", everything),
        ]
    )
    happened(system, "a", kind="rotation.failed", severity=Severity.ERROR)
    happened(system, "b", kind="rotation.started", severity=Severity.NOTICE)
    happened(system, "c", kind="audit.chain-broken", severity=Severity.ERROR)
    happened(system, "d", kind="backup.overdue", severity=Severity.WARNING)
    eventually(lambda: everything.accepted[1:] == ["a", "b", "c", "d"])
    eventually(lambda: not system.store().events(9))
    assert receiver.accepted == ["a", "d"]


def test_a_receiver_that_asks_to_wait_is_left_alone_for_so_long(system: System) -> None:
    asked: list[float] = []

    def later(_event: Event) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            raise NotifierUnavailable("too many", retry_after=2.0)

    receiver = Receiver(later)
    system.start(subscriptions=[Subscription("hook", receiver)])
    eventually(lambda: bool(receiver.accepted))
    assert asked[1] - asked[0] >= 2.0


@pytest.mark.parametrize("seconds", [1e12, float("nan"), -3.0])
def test_no_receiver_is_waited_for_without_a_bound(
    system: System, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(delivery, "LONGEST_WAIT_SECONDS", 0.2)
    answers = [seconds]

    def later(_event: Event) -> None:
        if answers:
            raise NotifierUnavailable("too many", retry_after=answers.pop())

    receiver = Receiver(later)
    system.start(subscriptions=[Subscription("hook", receiver)])
    eventually(lambda: bool(receiver.accepted))
