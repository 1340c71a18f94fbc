"""The versions that the master holds unsealed: a key store that is away costs nobody what is held already."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from systems import System, eventually

from keysvc.master import watch
from keysvc.master.rotation import announced
from keysvc.master.secrets import UnsealedVersions
from keysvc.model import MasterSecret, Versions, VersionState
from keysvc.plugin.interfaces import KeyStore
from keysvc.plugin.loading import Plugins
from keysvc.testing.key_store import secret


class Stuck:
    """A key store whose device does not answer until it is freed."""

    def __init__(self, key_store: KeyStore) -> None:
        self._key_store = key_store
        self.asked, self.freed = threading.Event(), threading.Event()

    def unseal(self, version: int) -> MasterSecret:
        self.asked.set()
        assert self.freed.wait(30)
        return self._key_store.unseal(version)


def test_what_is_held_is_given_out_while_the_key_store_does_not_answer(system: System) -> None:
    first = system.key_store().unseal(1)
    stuck = Stuck(system.key_store())
    held = UnsealedVersions(stuck)  # type: ignore[arg-type]
    held.hold(first)
    second = MasterSecret(2, first.created_at, first.material)
    system.key_store().seal(second)
    records = Versions([announced(first, VersionState.ACTIVE), announced(second, VersionState.ANNOUNCED)])
    loading = threading.Thread(target=held.load, args=(records,))
    loading.start()
    assert stuck.asked.wait(30)
    assert held.get(1) == first
    stuck.freed.set()
    loading.join()
    assert held.get(2) == second


def test_a_version_that_is_held_with_another_key_check_value_is_unsealed_anew(system: System) -> None:
    right, wrong = system.key_store().unseal(1), secret(1, seed=1)
    versions = Versions([announced(right, VersionState.ACTIVE)])
    held = UnsealedVersions(system.key_store())
    held.hold(wrong)
    assert not held.hold_all(versions)
    held.load(versions)
    assert held.get(1) == right
    assert held.hold_all(versions)


def test_a_degraded_master_is_ready_again_when_its_key_store_is_back(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.1)
    secret = Path(system.folder / "secret")
    away = secret.rename(system.folder / "away")
    master = system.start()
    assert master.status().state == "degraded"
    away.rename(secret)
    eventually(lambda: master.status().state == "ready")


class Drawing:
    """A key store with a generator of the test's."""

    def __init__(self, key_store: KeyStore, random: bytes) -> None:
        self._key_store, self._random = key_store, random

    def random(self, count: int) -> bytes:
        return self._random[:count]

    def __getattr__(self, name: str) -> object:
        return getattr(self._key_store, name)


def made(tmp_path, number: int, random: bytes) -> bytes:
    key_store = Plugins().key_stores.open(f"file://{tmp_path}/{number}", pytest.fail, "5" * 32)
    return UnsealedVersions(Drawing(key_store, random)).generate(Versions()).material.reveal()  # type: ignore[arg-type]


def test_neither_generator_alone_decides_a_new_version(tmp_path, monkeypatch) -> None:
    bad = bytes(32)
    assert made(tmp_path, 1, bad) != made(tmp_path, 2, bad)
    monkeypatch.setattr("keysvc.master.secrets.secrets.token_bytes", bytes)
    assert made(tmp_path, 3, b"a" * 32) != made(tmp_path, 4, b"b" * 32)
    assert made(tmp_path, 5, bad) == made(tmp_path, 6, bad)  # so that the above can fail
