"""SIGKILL at every line of reseal, protect and of sealing in several key stores: what the configuration names holds
every version, at every moment."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from systems import SYSTEM_ID, System

from keysvc.installation import assembly, config, key_store_changes
from keysvc.master import protectors as several, resealing
from keysvc.master.secrets import UnsealedVersions
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.deaths import die_at_every_line

MODULES = (key_store_changes, resealing, config.change)  # what only reads the configuration leaves the disk as it was


def write_configuration(folder: Path) -> Path:
    path = folder / "keysvc.toml"
    settings = {
        "system_id": SYSTEM_ID,
        "mapping_store": f"sqlite:///{folder}/keysvc.db",
        "master": "https://127.0.0.1:1",
        "key_store": f"file://{folder}/secret",
    }
    path.write_text(config.dump(settings))
    return path


def end_the_lease_of_the_dead(store: MappingStore) -> None:
    if (lease := store.lease()) is not None:
        store.release_lease(lease)


def nobody(_url: str):
    return lambda what: pytest.fail(f"asked for {what}")


def test_resealing_can_die_at_every_line_and_be_repeated(system: System, tmp_path: Path) -> None:
    path = write_configuration(tmp_path)
    old, new = f"file://{tmp_path}/secret", f"file://{tmp_path}/second"
    store, secret = system.store(), system.key_store().unseal(1)
    begun: set[str] = set()

    def reseal() -> None:
        key_store_changes.reseal(path, new, "administrator", nobody, keep=False)

    def look(_death: int) -> None:
        end_the_lease_of_the_dead(store)
        found = config.load(path)
        begun.add(f"{found.key_store} {found.resealed_from}")
        with contextlib.closing(assembly.open_key_store(found, nobody(""))) as named:
            assert named.unseal(1) == secret
        reseal()
        assert (config.load(path).key_store, config.load(path).resealed_from) == (new, None)
        with contextlib.closing(assembly.open_key_store(config.load(path), nobody(""))) as named:
            assert [named.unseal(version) for version in named.versions()] == [secret]
        assert list(system.key_store().versions()) == []
        system.key_store().seal(secret)
        write_configuration(tmp_path)

    deaths = die_at_every_line(reseal, look, MODULES)
    assert deaths > 80
    assert begun == {f"{old} None", f"{new} {old}", f"{new} None"}
    print(f"{deaths} deaths")


def test_protecting_can_die_at_every_line_and_be_repeated(system: System, tmp_path: Path) -> None:
    path, store = write_configuration(tmp_path), system.store()
    second = f"file://{tmp_path}/second"

    def look(_death: int) -> None:
        end_the_lease_of_the_dead(store)
        for protector in assembly.open_protectors(config.load(path), nobody("")).prove(store.versions()):
            assert protector.opens == (1,)

    def protect() -> None:
        key_store_changes.protect(path, second, "administrator", nobody)

    assert die_at_every_line(protect, look, (key_store_changes, several)) > 20
    assert config.load(path).recovery_key_stores == (second,)
    look(0)


def test_a_version_that_dies_on_its_way_into_several_key_stores_is_the_same_in_all(
    system: System, tmp_path: Path
) -> None:
    path, store = write_configuration(tmp_path), system.store()
    key_store_changes.protect(path, f"file://{tmp_path}/second", "administrator", nobody)
    settings = config.load(path)

    def generate() -> None:
        UnsealedVersions(assembly.open_protectors(settings, nobody(""))).generate(store.versions())

    def look(_death: int) -> None:
        generate()
        second = assembly.open_key_store_at(settings, settings.recovery_key_stores[0], nobody(""))
        assert second.unseal(2) == system.key_store().unseal(2)
        assembly.open_protectors(settings, nobody("")).destroy(2)

    assert die_at_every_line(generate, look, (several,)) > 10
    assert [record.version for record in store.versions()] == [1]


def test_recovering_can_die_at_every_line_and_be_repeated(system: System, tmp_path: Path) -> None:
    path, store, secret = write_configuration(tmp_path), system.store(), system.key_store().unseal(1)
    second, third = f"file://{tmp_path}/second", f"file://{tmp_path}/third"
    key_store_changes.protect(path, second, "administrator", nobody)
    system.key_store().destroy(1)

    def recover() -> None:
        key_store_changes.recover(path, second, third, "administrator", nobody)

    def look(_death: int) -> None:
        end_the_lease_of_the_dead(store)
        found = config.load(path)
        assert found.recovery_key_stores == (second,)
        named = assembly.open_key_store(found, nobody(""))
        assert found.key_store != third or named.unseal(1) == secret

    assert die_at_every_line(recover, look, (key_store_changes,)) > 20
    assert assembly.open_key_store(config.load(path), nobody("")).unseal(1) == secret
