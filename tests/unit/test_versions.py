"""What a mapping store's records say of the versions of the master secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keysvc.errors import NotConfigured
from keysvc.model import VersionRecord, Versions, VersionState
from keysvc.testing.key_store import secret

STATES = {
    5: VersionState.ANNOUNCED,
    4: VersionState.ACTIVE,
    3: VersionState.RETIRING,
    1: VersionState.DESTROYED,
}


def record(number: int, state: VersionState = VersionState.ACTIVE, seed: int = 0) -> VersionRecord:
    of = secret(number, seed)
    return VersionRecord(number, state, of.created_at, of.check_value)


ALL = Versions(record(number, state) for number, state in STATES.items())


def test_versions_ascend_and_are_found_by_state_and_number() -> None:
    assert [each.version for each in ALL] == [1, 3, 4, 5]
    assert (ALL.active, ALL.announced) == (record(4), record(5, VersionState.ANNOUNCED))
    assert ALL.live == Versions(ALL[1:])
    assert (ALL.destroyed, ALL.numbers, ALL.newest) == ({1}, {1, 3, 4, 5}, 5)
    assert ALL.find(3) == record(3, VersionState.RETIRING)
    assert ALL.find(2) is None


def test_a_system_without_a_version_has_none_that_is_active() -> None:
    none = Versions()
    assert (none.active, none.announced, none.newest) == (None, None, 0)
    with pytest.raises(NotConfigured):
        none.require_active()


def test_a_version_is_its_number_and_its_key_check_value() -> None:
    assert secret(4).id == record(4).id
    assert secret(4, seed=1).id != record(4).id != secret(5).id
    assert ALL.describe(secret(4))
    assert not ALL.describe(secret(4, seed=1))
    assert not ALL.describe(secret(2))
    assert not ALL.describe(secret(1)), "it is destroyed"


def test_the_state_of_a_version_does_not_change_which_version_it_is() -> None:
    assert replace(record(4), state=VersionState.RETIRING).id == record(4).id
