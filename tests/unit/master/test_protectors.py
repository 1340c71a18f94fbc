"""Each version is in every protector before it is announced; what each of them opens is proved, not assumed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from systems import System, eventually

from keysvc.errors import KeyStoreUnavailable, VersionNotFound
from keysvc.master.protectors import Protectors, Recovery
from keysvc.model import BackupRecord, Guard, utc_now
from keysvc.plugin.changes import PutBackup
from keysvc.plugin.interfaces import KeyStore
from keysvc.testing.conformance import assert_no_leak, told
from keysvc.testing.key_store import KeyStoreConformance, secret


def second(system: System) -> KeyStore:
    return system.plugins.key_stores.open(f"file://{system.folder}/second", None, system.system_id)


@pytest.fixture
def protected(system: System, monkeypatch: pytest.MonkeyPatch) -> System:
    """With a recovery key store that holds version 1."""
    second(system).seal(system.key_store().unseal(1))
    first = system.key_store
    recovery = Recovery(f"file://{system.folder}/second", lambda: second(system))
    monkeypatch.setattr(system, "key_store", lambda: Protectors(first(), [recovery]))
    return system


class TestProtectors(KeyStoreConformance):
    @pytest.fixture
    def open_store(self, system: System):
        def opened() -> KeyStore:
            key_stores = system.plugins.key_stores
            first = key_stores.open(f"file://{system.folder}/a", None, system.system_id)
            url = f"file://{system.folder}/b"
            return Protectors(first, [Recovery(url, lambda: key_stores.open(url, None, system.system_id))])

        return opened

    @pytest.fixture
    def stored(self) -> None:
        """Of two key stores: their own suites look at that."""
        return


def test_a_new_version_is_in_every_protector_before_it_is_announced(protected: System) -> None:
    master = protected.start()
    master.rotate("administrator")
    assert list(second(protected).versions()) == [1, 2]
    assert second(protected).unseal(2) == protected.key_store().unseal(2)


def away(system: System) -> Path:
    return (system.folder / "second").rename(system.folder / "away")


def test_while_a_protector_is_away_nothing_is_announced_and_all_else_goes_on(protected: System) -> None:
    protected.with_users("anna")
    gone = away(protected)
    master = protected.start()
    sso, _ = protected.sso()
    sso.set_credential("SAP", user="anna", password="geheim")
    for _ in range(2):
        with pytest.raises(KeyStoreUnavailable, match=r"recovery key store .*second did not take version 2") as refused:
            master.rotate("administrator")
        assert "recovery_key_stores" in refused.value.hint
    assert [record.version for record in protected.store().versions()] == [1]
    assert not (protected.folder / "second").exists()
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"
    gone.rename(protected.folder / "second")
    orphan = protected.key_store().unseal(2)
    assert master.rotate("administrator").version == 2
    assert second(protected).unseal(2) == orphan


def test_status_says_which_protector_opened_which_version(protected: System) -> None:
    master = protected.start()
    eventually(lambda: len(master.status().protectors) == 2)
    first, recovery = master.status().protectors
    assert (first.recovery, first.opens, first.problem) == (False, (1,), "")
    assert (recovery.recovery, recovery.opens, recovery.problem) == (True, (1,), "")
    assert master.status().versions[0].protectors == (first.url, recovery.url)
    second(protected).destroy(1)
    assert master.status().protectors[1].opens == (1,)  # as proved then, with the time
    protected.stop()
    master = protected.start()
    eventually(lambda: len(master.status().protectors) == 2)
    assert master.status().protectors[1].opens == ()
    assert master.status().versions[0].protectors == (first.url,)
    assert any("recovery key store" in warning and "version 1" in warning for warning in master.status().warnings)
    assert master.status().state == "ready"


def test_a_protector_that_holds_another_secret_is_not_believed(protected: System) -> None:
    second(protected).destroy(1)
    second(protected).seal(secret(1))
    status = protected.key_store().prove(protected.store().versions())[1]
    assert status.opens == ()
    assert "not the one that this system uses" in status.problem
    assert_no_leak(secret(1).material.reveal(), status)


def test_destroying_reaches_every_protector_even_one_that_was_away(protected: System) -> None:
    master = protected.start()
    master.rotate("administrator")
    eventually(lambda: master.status().active_version == 2)
    protected.store().commit([PutBackup(BackupRecord(utc_now(), (2,)))], Guard())
    gone = away(protected)
    (protected.folder / "second").write_text("no directory")
    with pytest.raises(KeyStoreUnavailable, match="may still hold it") as refused:
        master.destroy(1, "administrator", force=False)
    assert list(told(refused.value))
    assert [v.state.value for v in master.status().versions] == ["destroyed", "active"]
    with pytest.raises(VersionNotFound):
        protected.key_store().unseal(1)
    protected.stop()
    (protected.folder / "second").unlink()
    gone.rename(protected.folder / "second")
    protected.start()
    eventually(lambda: list(second(protected).versions()) == [2])


def test_a_lost_protector_stops_no_start(protected: System) -> None:
    shutil.rmtree(protected.folder / "second")
    master = protected.start()
    eventually(lambda: len(master.status().protectors) == 2)
    assert master.status().state == "ready"
