"""There is only one master secret server."""

from __future__ import annotations

import contextlib
import copy
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import Fenced, LeaseHeld, MappingStoreUnavailable, MasterSecretServerUnavailable
from keysvc.master.lease import Leadership
from keysvc.model import VersionState
from keysvc.plugin.changes import PutVersion

SHORT = timedelta(seconds=2)


def test_a_second_master_is_refused_while_the_first_lives(system: System) -> None:
    first = system.start(SHORT)
    second = System(system.folder, system.plugins, system.authority)
    with contextlib.closing(second), pytest.raises(LeaseHeld, match="alive"):
        second.start(SHORT)
    assert first.status().master == first._leadership.holder


def test_a_master_that_was_killed_is_followed_when_its_lease_ends(system: System) -> None:
    dead = Leadership(system.store(), SHORT)
    dead.acquire()
    assert system.start().epoch == dead.epoch + 1


def test_a_master_that_stops_gives_the_lease_back_at_once(system: System) -> None:
    before = system.start().epoch
    system.stop()
    leadership = Leadership(system.store(), SHORT)
    leadership.take_or_refuse()
    assert leadership.epoch == before + 1


def test_a_fenced_master_changes_nothing_steps_down_and_answers_no_poll(system: System) -> None:
    master = system.start(SHORT)
    store = system.store()
    old = master._leadership._lease
    store.release_lease(old)
    assert store.grant_lease("usurper", timedelta(minutes=1)) is not None
    record = store.versions()[0]
    with pytest.raises(Fenced):
        store.commit([PutVersion(record)], master._leadership.guard)
    eventually(lambda: len(system.lost) == 1)
    with pytest.raises(MasterSecretServerUnavailable):
        master.poll("web-01", "1", (1,))
    assert store.versions()[0].state is VersionState.ACTIVE


def test_the_validity_of_a_lease_is_measured_from_before_it_was_asked_for(system: System) -> None:
    leadership = Leadership(system.store(), timedelta(seconds=1))
    leadership.acquire()
    assert leadership.valid
    eventually(lambda: not leadership.valid, 3)
    with pytest.raises(MasterSecretServerUnavailable):
        leadership.require()


def test_of_a_process_and_a_copy_of_its_memory_the_one_that_renews_later_is_fenced(system: System) -> None:
    first = Leadership(system.store(), timedelta(minutes=1))
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
    leadership = Leadership(store, timedelta(minutes=1))
    leadership.acquire()
    renew = store.renew_lease

    def losing(*arguments: object) -> None:
        renew(*arguments)
        raise MappingStoreUnavailable("the connection was lost while a change was being committed")

    monkeypatch.setattr(store, "renew_lease", losing)
    for _ in range(2):
        with pytest.raises(MappingStoreUnavailable):
            leadership.renew()
    monkeypatch.undo()
    leadership.renew()
    assert leadership.valid
    leadership.release()
    assert store.lease() is None
