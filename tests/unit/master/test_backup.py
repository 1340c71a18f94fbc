"""Backups: written and proved, rehearsed, restored; and refused whole when they are not right."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from systems import System, configured, eventually

from keysvc.crypto import backup_file as age
from keysvc.errors import (
    BackupDamaged,
    BackupError,
    InvalidInput,
    LeaseHeld,
    VersionAlreadySealed,
    VersionNotFound,
    WrongPassphrase,
)
from keysvc.master import backup, term
from keysvc.model import MasterSecret, SecretBytes, SecretText, utc_now

PASSPHRASE = SecretText("correct horse battery staple")


def made(system: System, name: str = "backup.age") -> Path:
    path = system.folder / name
    secrets = [system.key_store().unseal(version) for version in system.key_store().versions()]
    backup.write_and_prove(path, secrets, "5" * 32, PASSPHRASE, work_factor=4)
    return path


def test_a_lost_key_store_is_restored_and_every_credential_decrypts(system: System) -> None:
    system.with_users("anna")
    system.start()
    system.sso()[0].set_credential("SAP", user="anna", password="geheim")
    content = made(system).read_bytes()
    system.stop()
    shutil.rmtree(system.folder / "secret")
    degraded = system.start()
    assert degraded.status().state == "degraded"
    assert "version 1" in degraded.status().problems[0]
    with pytest.raises(LeaseHeld):
        backup.restore(content, PASSPHRASE, system.store(), system.key_store())
    system.stop()
    assert backup.restore(content, PASSPHRASE, system.store(), system.key_store()) == (1,)
    system.start()
    assert system.sso("web-02")[0].credential("SAP", user="anna")["password"].reveal() == "geheim"


def test_a_restore_that_takes_longer_than_its_lease_keeps_the_lease(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(term, "MAINTENANCE_TTL", timedelta(seconds=1))
    content, store, key_store = made(system).read_bytes(), system.store(), system.key_store()
    seal, held = key_store.seal, list[bool]()

    def slow_seal(secret: MasterSecret) -> None:
        first = store.lease()
        assert first is not None
        eventually(lambda: (now := store.lease()) is None or now.expires_at > first.expires_at + term.MAINTENANCE_TTL)
        held.append(store.lease() is not None)
        seal(secret)

    monkeypatch.setattr(key_store, "seal", slow_seal)
    assert backup.restore(content, PASSPHRASE, store, key_store) == (1,)
    assert held == [True]


def test_a_rehearsal_tells_what_the_backup_lacks_and_changes_nothing(system: System) -> None:
    system.with_users("anna")
    master = system.start()
    system.sso()[0].set_credential("SAP", user="anna", password="geheim")
    content = made(system).read_bytes()
    found = backup.rehearse(content, PASSPHRASE, system.store())
    assert (found.versions, found.missing, found.rows, found.readable, found.checked) == ((1,), (), 1, 1, 1)
    master.rotate("administrator")
    eventually(lambda: system.store().rows_by_version() == {2: 1})
    found = backup.rehearse(content, PASSPHRASE, system.store())
    assert (found.missing, found.readable, found.checked) == ((2,), 0, 0)


def test_a_wrong_passphrase_a_changed_file_and_another_system_are_refused(system: System, tmp_path: Path) -> None:
    content = made(system).read_bytes()
    store, key_store = system.store(), system.key_store()
    with pytest.raises(WrongPassphrase):
        backup.restore(content, SecretText("incorrect horse battery"), store, key_store)
    for changed in (content[: len(content) // 2], b"", content.replace(b"versions: 1", b"versions: 2")):
        with pytest.raises(BackupDamaged):
            backup.restore(changed, PASSPHRASE, store, key_store)
    (tmp_path / "other").mkdir()
    with (
        contextlib.closing(configured(tmp_path / "other", system_id="6" * 32)) as other,
        pytest.raises(BackupDamaged, match="of system"),
    ):
        backup.restore(content, PASSPHRASE, other.store(), key_store)


def test_a_backup_never_overwrites_and_its_passphrase_is_not_short(system: System) -> None:
    path = made(system)
    with pytest.raises(BackupError, match="never overwrites"):
        made(system)
    secrets = [system.key_store().unseal(1)]
    with pytest.raises(InvalidInput):
        backup.write_and_prove(path.with_name("short.age"), secrets, "5" * 32, SecretText("short"))
    assert not path.with_name("short.age").exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_version_of_another_history_is_never_restored_over_this_one(system: System, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with contextlib.closing(configured(tmp_path / "other")) as other:
        content = made(other).read_bytes()
    with pytest.raises(BackupDamaged, match="another secret"):
        backup.restore(content, PASSPHRASE, system.store(), system.key_store())


def test_a_restore_checks_every_version_before_it_seals_any(system: System, tmp_path: Path) -> None:
    master = system.start()
    master.rotate("administrator")
    eventually(lambda: master.status().active_version == 2)
    content = made(system).read_bytes()
    system.stop()
    key_store = system.key_store()
    other = replace(key_store.unseal(2), material=SecretBytes(bytes(32)))
    shutil.rmtree(system.folder / "secret")
    key_store = system.key_store()
    key_store.seal(other)  # somebody else's version 2 is in the way
    with pytest.raises(VersionAlreadySealed):
        backup.restore(content, PASSPHRASE, system.store(), key_store)
    assert key_store.versions() == [2]


def test_the_header_says_what_the_backup_is_before_anyone_types_a_passphrase(system: System) -> None:
    content = made(system).read_bytes()
    lines = content.partition(b"\n\n")[0].decode().splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["keysvc-backup", "system", "created", "versions", "reminder"]
    assert f"system: {system.system_id}" in lines
    assert "versions: 1" in lines


def test_a_destroyed_version_is_not_restored(system: System) -> None:
    master = system.start()
    master.rotate("administrator")
    eventually(lambda: master.status().active_version == 2)
    content = made(system).read_bytes()
    assert age.read_header(content).versions == (1, 2)
    master.destroy(1, "administrator", force=True)
    system.stop()
    assert backup.restore(content, PASSPHRASE, system.store(), system.key_store()) == (2,)
    with pytest.raises(VersionNotFound):
        system.key_store().unseal(1)


def test_status_warns_until_a_backup_holds_the_active_version(system: System) -> None:
    master = system.start()
    assert "no backup" in master.status().warnings[0]
    master.record_backup(backup.BackupRecord(utc_now(), (1,)), "administrator")
    assert master.status().warnings == ()
    master.rotate("administrator")
    eventually(lambda: master.status().active_version == 2)
    assert "does not hold the active version 2" in master.status().warnings[0]


def test_a_backup_to_standard_output_is_refused(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(system.folder)
    with pytest.raises(BackupError, match="not written to standard output"):
        backup.require_free(Path("-"))
    with pytest.raises(BackupError, match="not written to standard output"):
        backup.write_and_prove(Path("-"), [], "5" * 32, PASSPHRASE, work_factor=4)
    assert not (system.folder / "-").exists()
