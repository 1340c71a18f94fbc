"""The quick part of the suite of key stores. What would have to reach what is stored, or takes long, is left out."""

from __future__ import annotations

from collections import abc

import pytest

from keysvc.plugin.interfaces import KeyStore
from keysvc.testing.check.throw_away import ThrowAwayVersions, a_window
from keysvc.testing.key_store import KeyStoreConformance, OpenStore

_suite = KeyStoreConformance


class TestKeyStore:
    @pytest.fixture
    def open_store(self, open_part: abc.Callable[[], KeyStore]) -> abc.Iterator[OpenStore]:
        window = a_window()
        yield lambda: ThrowAwayVersions(open_part(), window)
        store = ThrowAwayVersions(open_part(), window)
        for version in store.versions():
            store.destroy(version)
        assert list(store.versions()) == [], "throw-away versions stay behind"

    test_what_was_sealed_is_unsealed = _suite.test_what_was_sealed_is_unsealed
    test_what_was_sealed_is_unsealed_after_a_restart = _suite.test_what_was_sealed_is_unsealed_after_a_restart
    test_an_empty_store_has_no_versions = _suite.test_an_empty_store_has_no_versions
    test_an_unknown_version_is_not_found = _suite.test_an_unknown_version_is_not_found
    test_versions_are_ascending = _suite.test_versions_are_ascending
    test_sealing_the_same_again_changes_nothing = _suite.test_sealing_the_same_again_changes_nothing
    test_a_version_is_never_replaced_by_another_secret = _suite.test_a_version_is_never_replaced_by_another_secret
    test_a_destroyed_version_is_gone_for_good = _suite.test_a_destroyed_version_is_gone_for_good
    test_destroying_is_repeatable = _suite.test_destroying_is_repeatable
    test_two_threads_that_seal_the_same_version_end_with_one_secret = (
        _suite.test_two_threads_that_seal_the_same_version_end_with_one_secret
    )
    test_its_random_bytes_are_as_many_as_asked_for_and_never_the_same = (
        _suite.test_its_random_bytes_are_as_many_as_asked_for_and_never_the_same
    )
    test_closing_is_repeatable = _suite.test_closing_is_repeatable
    test_what_it_says_of_itself_shows_no_secret = _suite.test_what_it_says_of_itself_shows_no_secret
