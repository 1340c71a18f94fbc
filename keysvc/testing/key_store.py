"""What every key store promises."""

from __future__ import annotations

import random
import threading
from collections import abc
from datetime import UTC, datetime

import pytest

from keysvc.errors import KeyStoreError, SealBroken, VersionAlreadySealed, VersionNotFound
from keysvc.model import MASTER_SECRET_BYTES, MasterSecret, SecretBytes
from keysvc.plugin.interfaces import KeyStore
from keysvc.testing.conformance import Conformance, assert_no_leak, told

OpenStore = abc.Callable[[], KeyStore]


def secret(version: int, seed: int = 0) -> MasterSecret:
    """A version with material of its own."""
    material = random.Random(f"{version}/{seed}").randbytes(MASTER_SECRET_BYTES)
    created_at = datetime(2026, 1, 2, 3, 4, 5, 678901 + version % 1000, tzinfo=UTC)
    return MasterSecret(version, created_at, SecretBytes(material))


class KeyStoreConformance(Conformance):
    """Override `open_store`; and `stored` where what is stored can be reached. Name the subclass Test…"""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("override the fixture open_store: return a callable that opens the same store again")

    @pytest.fixture
    def stored(self) -> abc.MutableMapping[str, bytes] | None:
        """The entries as they are stored, in the order of versions, to be tampered with; None when out of reach."""
        return None

    def test_what_was_sealed_is_unsealed(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        assert store.unseal(1) == secret(1)

    def test_what_was_sealed_is_unsealed_after_a_restart(self, open_store: OpenStore) -> None:
        store = open_store()
        for version in (1, 2, 3):
            store.seal(secret(version))
        store.close()
        again = open_store()
        assert [again.unseal(version) for version in (3, 1, 2)] == [secret(3), secret(1), secret(2)]

    def test_an_empty_store_has_no_versions(self, open_store: OpenStore) -> None:
        assert list(open_store().versions()) == []

    def test_an_unknown_version_is_not_found(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        with pytest.raises(VersionNotFound):
            store.unseal(2)

    def test_versions_are_ascending(self, open_store: OpenStore) -> None:
        store = open_store()
        for version in (10, 2, 9, 1, 4294967295):
            store.seal(secret(version))
        assert list(store.versions()) == [1, 2, 9, 10, 4294967295]

    def test_a_hundred_versions_are_kept(self, open_store: OpenStore) -> None:
        store = open_store()
        for version in range(1, 101):
            store.seal(secret(version))
        store.close()
        again = open_store()
        assert list(again.versions()) == list(range(1, 101))
        assert again.unseal(77) == secret(77)

    def test_sealing_the_same_again_changes_nothing(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        store.seal(secret(1))
        assert list(store.versions()) == [1]
        assert store.unseal(1) == secret(1)

    def test_a_version_is_never_replaced_by_another_secret(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        for opened in (store, open_store()):
            with pytest.raises(VersionAlreadySealed):
                opened.seal(secret(1, seed=1))
        assert open_store().unseal(1) == secret(1)

    def test_a_destroyed_version_is_gone_for_good(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        store.seal(secret(2))
        store.destroy(1)
        for opened in (store, open_store()):
            assert list(opened.versions()) == [2]
            with pytest.raises(VersionNotFound):
                opened.unseal(1)

    def test_destroying_is_repeatable(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        store.destroy(1)
        store.destroy(1)
        store.destroy(7)
        assert list(store.versions()) == []

    def test_two_threads_that_seal_the_same_version_end_with_one_secret(self, open_store: OpenStore) -> None:
        store = open_store()
        store.seal(secret(1))
        outcomes: list[int] = []

        def seal(seed: int) -> None:
            try:
                store.seal(secret(2, seed))
                outcomes.append(seed)
            except VersionAlreadySealed:
                pass

        threads = [threading.Thread(target=seal, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 1
        assert store.unseal(2) == secret(2, outcomes[0])

    def test_its_random_bytes_are_as_many_as_asked_for_and_never_the_same(self, open_store: OpenStore) -> None:
        store = open_store()
        drawn = [store.random(MASTER_SECRET_BYTES) for _ in range(20)]
        assert {len(found) for found in drawn} == {MASTER_SECRET_BYTES}
        assert len(set(drawn)) == len(drawn)
        store.close()

    def test_closing_is_repeatable(self, open_store: OpenStore) -> None:
        store = open_store()
        store.close()
        store.close()

    def test_what_it_says_of_itself_shows_no_secret(
        self, open_store: OpenStore, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        store = open_store()
        store.seal(secret(1))
        store.unseal(1)
        material = secret(1).material.reveal()
        with pytest.raises(VersionAlreadySealed) as refused:
            store.seal(secret(1, seed=1))
        assert_no_leak(material, store, store.info(), caplog.text, *capfd.readouterr(), *told(refused.value))
        assert_no_leak(secret(1, seed=1).material.reveal(), *told(refused.value))

    def test_every_changed_byte_is_noticed(
        self, open_store: OpenStore, stored: abc.MutableMapping[str, bytes] | None
    ) -> None:
        if stored is None:
            pytest.skip("what is stored is out of reach")
        open_store().seal(secret(1))
        name = next(iter(stored))
        whole = stored[name]
        for position in range(len(whole)):
            stored[name] = whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]
            with pytest.raises(KeyStoreError) as refused:
                open_store().unseal(1)
            assert_no_leak(secret(1).material.reveal(), *told(refused.value))
        stored[name] = whole
        assert open_store().unseal(1) == secret(1)

    def test_every_truncation_is_noticed(
        self, open_store: OpenStore, stored: abc.MutableMapping[str, bytes] | None
    ) -> None:
        if stored is None:
            pytest.skip("what is stored is out of reach")
        open_store().seal(secret(1))
        name = next(iter(stored))
        whole = stored[name]
        for length in range(len(whole)):
            stored[name] = whole[:length]
            with pytest.raises(SealBroken):
                open_store().unseal(1)

    def test_entries_swapped_between_versions_are_noticed(
        self, open_store: OpenStore, stored: abc.MutableMapping[str, bytes] | None
    ) -> None:
        if stored is None:
            pytest.skip("what is stored is out of reach")
        store = open_store()
        store.seal(secret(1))
        store.seal(secret(2))
        first, second = list(stored)[:2]
        stored[first], stored[second] = stored[second], stored[first]
        for version in (1, 2):
            with pytest.raises(SealBroken):
                open_store().unseal(version)
