"""What an SSO server holds in memory is what was announced, by number and by key check value."""

from __future__ import annotations

from datetime import timedelta

from keysvc.model import Announcement, MasterSecret, VersionRecord, Versions, VersionState
from keysvc.sso.version_cache import VersionCache
from keysvc.testing.key_store import secret

SYSTEM_ID = "5" * 32


def of(announced: MasterSecret) -> Announcement:
    record = VersionRecord(announced.version, VersionState.ACTIVE, announced.created_at, announced.check_value)
    return Announcement(SYSTEM_ID, 1, Versions([record]), timedelta(seconds=30))


def test_a_version_of_the_same_number_with_another_key_check_value_is_fetched_and_replaces_the_one_in_memory() -> None:
    cache, first, other = VersionCache(), secret(1), secret(1, seed=1)
    cache.replace(of(first), [first])
    assert not cache.missing(of(first).versions)
    assert cache.missing(of(other).versions) == list(of(other).versions)
    cache.replace(of(other), [])
    assert cache.held() == (), "what is not the announced version encrypts nothing"
    cache.replace(of(other), [other])
    assert cache.held() == (other.id,)


def test_an_active_version_that_is_in_memory_with_another_key_check_value_is_not_followed() -> None:
    cache, first, other = VersionCache(), secret(1), secret(1, seed=1)
    cache.replace(of(first), [first])
    assert cache.follow(of(first).versions)
    assert not cache.follow(of(other).versions)
