"""There is only one master secret server."""

from __future__ import annotations

import contextlib
import copy
from collections import abc
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import Fenced, LeaseHeld, MappingStoreUnavailable, MasterSecretServerUnavailable
from keysvc.master.term import Term
from keysvc.model import VersionState
from keysvc.plugin.changes import PutVersion

SHORT = timedelta(seconds=2)


def test_a_second_master_is_refused_while_the_first_lives(system: System) -> None:
    first = system.start(SHORT)
    second = System(system.folder, system.plugins, system.authority)
    with contextlib.closing(second), pytest.raises(LeaseHeld, match="alive"):
        second.start(SHORT)
    assert first.status().master == first._term.holder


def test_a_master_that_was_killed_is_followed_when_its_lease_ends(system: System) -> None:
    dead = Term(system.store(), SHORT)
    dead.acquire()
    assert system.start().epoch == dead.epoch + 1


def test_a_master_that_stops_gives_the_lease_back_at_once(system: System) -> None:
    before = system.start().epoch
    system.stop()
    term = Term(system.store(), SHORT)
    term.take_or_refuse()
    assert term.epoch == before + 1


def test_a_fenced_master_changes_nothing_steps_down_and_answers_no_poll(system: System) -> None:
    master = system.start(SHORT)
    store = system.store()
    old = master._term._lease
    store.release_lease(old)
    assert store.grant_lease("usurper", timedelta(minutes=1)) is not None
    record = store.versions()[0]
    with pytest.raises(Fenced):
        master._term.commit(PutVersion(record))
    eventually(lambda: len(system.lost) == 1)
    with pytest.raises(MasterSecretServerUnavailable):
        master.poll("web-01", "1", (1,))
    assert store.versions()[0].state is VersionState.ACTIVE


def test_the_validity_of_a_lease_is_measured_from_before_it_was_asked_for(system: System) -> None:
    term = Term(system.store(), timedelta(seconds=1))
    term.acquire()
    assert term.valid
    eventually(lambda: not term.valid, 3)
    with pytest.raises(MasterSecretServerUnavailable):
        term.require()


def test_of_a_process_and_a_copy_of_its_memory_the_one_that_renews_later_is_fenced(system: System) -> None:
    first = Term(system.store(), timedelta(minutes=1))
    first.acquire()
    copied = copy.copy(first)
    first.renew()
    assert copied.valid
    with pytest.raises(Fenced, match="a copy of this one"):
        copied.renew()
    assert not copied.valid
    copied.release()
    assert system.store().lease() == first._lease
    first.renew()
    assert first.valid


def test_a_renewal_whose_answer_was_lost_costs_nothing(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    store = system.store()
    term = Term(store, timedelta(minutes=1))
    term.acquire()
    renew = store.renew_lease

    def losing(*arguments: object) -> None:
        renew(*arguments)
        raise MappingStoreUnavailable("the connection was lost while a change was being committed")

    monkeypatch.setattr(store, "renew_lease", losing)
    for _ in range(2):
        with pytest.raises(MappingStoreUnavailable):
            term.renew()
    monkeypatch.undo()
    term.renew()
    assert term.valid
    term.release()
    assert store.lease() is None


def test_a_lease_is_renewed_only_while_those_who_serve_answer(system: System) -> None:
    term, asked = Term(system.store(), SHORT), []
    term.acquire()
    term.keep(system.lost.append, asked.append)
    eventually(lambda: not term.valid)
    term.release()
    assert len(asked) > 1
    assert system.lost == []


def test_an_answer_that_was_late_once_costs_no_lease(system: System) -> None:
    term, asked = Term(system.store(), SHORT), []

    def ask(answered: abc.Callable[[], object]) -> None:
        asked.append(answered)
        if len(asked) > 1:
            answered()

    term.acquire()
    first = system.store().lease()
    term.keep(system.lost.append, ask)
    eventually(lambda: system.store().lease().expires_at > first.expires_at)
    assert term.valid
    term.release()
