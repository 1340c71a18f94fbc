"""An outage of a store is told once when it begins, and once when it is over."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest
from systems import System, eventually, keeping_events

from keysvc.errors import MappingStoreUnavailable
from keysvc.master import watch
from keysvc.master.term import Term
from keysvc.master.watch import MappingStoreOutage


def kinds(system: System) -> list[str]:
    return [event.kind for event in system.store().events(99)][1:]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)


def test_a_key_store_that_went_away_degrades_the_status_and_stops_nothing_else(system: System) -> None:
    system.with_users("anna")
    master = system.start(subscriptions=keeping_events())
    sso, link = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    secret = Path(system.folder / "secret")
    away = secret.rename(system.folder / "away")
    eventually(lambda: master.status().state == "degraded")
    assert master.status().problems[0].startswith("the key store does not answer: it does not hold version 1")
    eventually(lambda: master.status().protectors[0].problem != "")
    polls = link.polls
    sso.set_credential("SAP", user="anna", password="geheim")
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"
    eventually(lambda: link.polls > polls)
    away.rename(secret)
    eventually(lambda: master.status().state == "ready")
    eventually(lambda: master.status().protectors[0].opens == (1,))
    assert kinds(system) == ["key-store.unavailable", "key-store.back"]


def test_an_outage_of_the_mapping_store_is_told_when_it_is_over(system: System) -> None:
    store = system.store()
    term = Term(store, timedelta(seconds=30))
    term.acquire()
    outage = MappingStoreOutage(store, term)
    outage.ended()
    outage.began(MappingStoreUnavailable("the disk is full"))
    outage.began(MappingStoreUnavailable("still"))
    outage.ended()
    outage.ended()
    away, back = list(system.store().events(99))[1:]
    assert (away.kind, away.detail["problem"]) == ("mapping-store.unavailable", "the disk is full")
    assert (back.kind, back.at >= away.at) == ("mapping-store.back", True)


def test_an_sso_server_that_falls_silent_is_told_once_and_one_that_says_goodbye_never(system: System) -> None:
    system.start(poll_interval=timedelta(milliseconds=100), subscriptions=keeping_events())
    gone, link = system.sso("web-01")
    left, _link = system.sso("web-02")
    left.close()
    link.down = True
    gone.close()
    eventually(lambda: kinds(system) != [])
    time.sleep(0.5)
    (stale,) = list(system.store().events(99))[1:]
    assert (stale.kind, stale.detail["subject"]) == ("server.stale", "web-01")
