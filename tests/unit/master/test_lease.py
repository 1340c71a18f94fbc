"""There is only one master secret server."""

from __future__ import annotations

from datetime import timedelta

import pytest
from systems import LEASE_TTL, System, eventually

from keysvc.changes import PutVersion
from keysvc.errors import Fenced, LeaseHeld, MasterSecretServerUnavailable
from keysvc.master.lease import Leadership
from keysvc.model import VersionState


def test_a_second_master_is_refused_while_the_first_lives(system: System) -> None:
    first = system.start()
    with pytest.raises(LeaseHeld, match="alive"):
        System(system.folder, system.plugins, system.authority).start()
    assert first.status().master == first._leadership.holder


def test_a_master_that_was_killed_is_followed_when_its_lease_ends(system: System) -> None:
    dead = Leadership(system.store(), LEASE_TTL)
    dead.acquire()
    assert system.start().epoch == dead.epoch + 1


def test_a_master_that_stops_gives_the_lease_back_at_once(system: System) -> None:
    before = system.start().epoch
    system.stop()
    leadership = Leadership(system.store(), LEASE_TTL)
    leadership.take_or_refuse()
    assert leadership.epoch == before + 1


def test_a_fenced_master_changes_nothing_steps_down_and_answers_no_poll(system: System) -> None:
    master = system.start()
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
