"""Rotations that are paused, throttled, scheduled, urgent, or that overtake each other."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from rows import Told, fill
from systems import System, eventually

from keysvc.errors import InvalidInput, KeyStoreUnavailable, SealBroken, VersionInUse, VersionNotFound
from keysvc.master import delivery, reencryption, rotation_alerts
from keysvc.master.secrets import UnsealedVersions
from keysvc.model import BackupRecord, Guard, MasterSecret, RotationSettings, VersionState, utc_now
from keysvc.plugin.changes import PutBackup, PutCredential, PutRotationSettings, PutVersion
from keysvc.plugin.sealed import SealedKeyStore

ADMINISTRATOR = "administrator"


@pytest.fixture(autouse=True)
def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reencryption, "BATCH", 20)
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.05)


def states(system: System) -> dict[int, str]:
    return {record.version: record.state.value for record in system.store().versions()}


def is_complete(system: System, version: int) -> bool:
    record = next((r for r in system.store().versions() if r.version == version), None)
    return record is not None and record.state is VersionState.ACTIVE and record.completed_at is not None


def back_up(system: System, *versions: int) -> None:
    system.store().commit([PutBackup(BackupRecord(utc_now(), versions))], Guard())


def every_password_is_right(system: System) -> bool:
    with system.sso("reader")[0] as sso:
        users = [row.user for row in system.store().credentials(limit=10_000)]
        return all(sso.credential("SAP", user=user)["password"].reveal() == user for user in users)


def spoil(system: System, user: str) -> None:
    """Make one credential undecryptable."""
    store = system.store()
    row = store.credential("SAP", user)
    store.commit([PutCredential(replace(row, ciphertext=row.ciphertext[:-1] + b"?"))], Guard())


# -- pause, resume, throttle -----------------------------------------------------------------------------------------


def test_a_paused_rotation_rests_through_a_failover_and_goes_on_when_it_is_resumed(system: System) -> None:
    fill(system, 100)
    master = system.start()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=80)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: system.store().rows_by_version().get(2, 0) >= 20)
    master.change_rotation(ADMINISTRATOR, paused=True)
    before = system.store().rows_by_version()
    system.stop()
    master = system.start()
    found = master.status()
    assert (found.rotation.phase, found.rotation.max_rows_per_second) == ("paused", 80)
    assert any("keysvc secret resume" in warning for warning in found.warnings)
    assert [master.rotation.advance() for _ in range(3)] == [False] * 3
    assert system.store().rows_by_version() == before
    assert before[1] > 0
    master.change_rotation(ADMINISTRATOR, paused=False, max_rows_per_second=0)
    eventually(lambda: is_complete(system, 2))
    assert system.store().rotation_settings() == RotationSettings()
    assert [entry.detail for entry in system.store().audit() if entry.action == "rotation.changed"][-1] == {
        "paused": False,
        "max_rows_per_second": 0,
    }


def test_a_version_that_is_announced_is_not_activated_while_rotations_are_paused(system: System) -> None:
    master = system.start()
    master.change_rotation(ADMINISTRATOR, paused=True)
    master.rotate(ADMINISTRATOR)
    assert not master.rotation.advance()
    assert states(system) == {1: "active", 2: "announced"}
    assert master.status().rotation.phase == "paused"
    master.change_rotation(ADMINISTRATOR, paused=False)
    eventually(lambda: is_complete(system, 2))


def test_the_rate_is_limited_and_the_limit_can_be_lifted_while_it_runs(system: System) -> None:
    fill(system, 200)
    master = system.start()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=40)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: master.status().rotation is not None and master.status().rotation.done >= 10)
    began, before = time.monotonic(), system.store().rows_by_version()[2]
    eventually(lambda: (master.status().rotation.rows_per_second or 0) > 0)
    eventually(lambda: time.monotonic() - began > 1)
    moved = system.store().rows_by_version()[2] - before
    assert moved <= 40 * (time.monotonic() - began) + 11
    shown = master.status().rotation
    assert shown.rows_per_second <= 60
    assert shown.remaining_seconds >= (shown.total - shown.done) / 60 - 1
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=0)
    eventually(lambda: is_complete(system, 2), 3)


@pytest.mark.parametrize("limit", [-1, 2**31])
def test_an_impossible_limit_is_refused(system: System, limit: int) -> None:
    with pytest.raises(InvalidInput, match="max_rows_per_second"):
        system.start().change_rotation(ADMINISTRATOR, max_rows_per_second=limit)


# -- several at once -------------------------------------------------------------------------------------------------


def test_four_versions_are_alive_at_once_and_the_newest_rotation_ends_them_all(system: System) -> None:
    """Complaint 23: a second rotation before the first one has ended."""
    master = system.start()
    for version in (1, 2, 3):
        fill(system, 30, version=version)
        master.change_rotation(ADMINISTRATOR, max_rows_per_second=1)
        assert master.rotate(ADMINISTRATOR).version == version + 1
        eventually(lambda version=version: states(system)[version + 1] == "active")
    assert states(system) == {1: "retiring", 2: "retiring", 3: "retiring", 4: "active"}
    left = system.store().rows_by_version()
    assert {1, 2, 3} <= left.keys()
    assert (master.status().rotation.from_version, master.status().rotation.to) == (1, 4)
    assert every_password_is_right(system)
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=0)
    eventually(lambda: is_complete(system, 4))
    assert system.store().rows_by_version() == {4: 90}
    assert every_password_is_right(system)


def test_a_version_that_waits_for_a_server_does_not_stop_the_rotation_before_it(system: System) -> None:
    fill(system, 50)
    master = system.start()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=1)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: states(system)[2] == "active")
    master.poll("slow", "1", (1, 2))
    master.rotate(ADMINISTRATOR)
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=0)

    def two_is_complete() -> bool:
        master.poll("slow", "1", (1, 2))
        return is_complete(system, 2)

    eventually(two_is_complete)
    assert (states(system)[3], system.store().rows_by_version()) == ("announced", {2: 50})
    assert master.status().rotation.waiting_for == ("slow",)


def test_ten_thousand_credentials_delay_neither_the_start_nor_a_request(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complaint 21. No request and no start waits for a row: each comes back while all of them are still to do."""
    monkeypatch.setattr(reencryption, "BATCH", 2000)
    fill(system, 10_000)
    master = system.start()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=1)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: states(system)[2] == "active")
    system.stop()
    master = system.start()
    assert master.status().state == "rotating"
    assert master.status().rotation.done < 100
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=0)
    eventually(lambda: is_complete(system, 2), 60)


# -- compromised -----------------------------------------------------------------------------------------------------


def test_what_is_under_a_compromised_version_is_reencrypted_first_and_it_is_destroyed(system: System) -> None:
    """Complaint 25: both at once, for a version that retires."""
    master = system.start()
    for version in (1, 2):
        fill(system, 40, version=version)
        master.change_rotation(ADMINISTRATOR, max_rows_per_second=1)
        master.rotate(ADMINISTRATOR)
        eventually(lambda version=version: states(system)[version + 1] == "active")
    back_up(system, 1, 2, 3)
    assert master.rotate(ADMINISTRATOR, compromised=2).version == 3
    before = system.store().rows_by_version()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=80)
    eventually(lambda: states(system)[2] == "destroyed")
    assert system.store().rows_by_version()[1] >= before[1] - 20  # what was not urgent waited, but for a batch
    assert list(system.key_store().versions()) == [1, 3]
    eventually(lambda: is_complete(system, 3))
    assert every_password_is_right(system)


def test_a_compromised_active_version_is_replaced_and_destroyed_once_a_backup_holds_the_new_one(system: System) -> None:
    fill(system, 40)
    told = Told()
    master = system.start(subscriptions=told.subscriptions)
    assert master.rotate(ADMINISTRATOR, compromised=1).version == 2
    eventually(lambda: is_complete(system, 2))
    assert not master.rotation.advance()
    assert states(system) == {1: "retiring", 2: "active"}
    assert any("version 1 is compromised" in warning for warning in master.status().warnings)
    system.stop()
    master = system.start(subscriptions=told.subscriptions)
    master.record_backup(BackupRecord(utc_now(), (1, 2)), ADMINISTRATOR)
    eventually(lambda: states(system) == {1: "destroyed", 2: "active"})
    eventually(lambda: told.kinds("version.") == ["version.compromised", "version.activated", "version.destroyed"])
    assert every_password_is_right(system)


def test_nothing_is_reencrypted_under_a_compromised_version_while_its_successor_waits(system: System) -> None:
    fill(system, 40)
    master = system.start()
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=1)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: states(system)[2] == "active")
    master.poll("slow", "1", (1, 2))
    master.rotate(ADMINISTRATOR, compromised=2)
    master.change_rotation(ADMINISTRATOR, max_rows_per_second=0)
    before = system.store().rows_by_version()
    assert not master.rotation.advance()
    assert system.store().rows_by_version() == before
    master.poll("slow", "1", (1, 2, 3))
    eventually(lambda: system.store().rows_by_version() == {3: 40})


def test_a_compromised_version_that_is_only_announced_is_never_used(system: System) -> None:
    master = system.start()
    master.poll("slow", "1", (1,))
    assert master.rotate(ADMINISTRATOR).version == 2
    assert master.rotate(ADMINISTRATOR, compromised=2).version == 3
    assert states(system) == {1: "active", 2: "destroyed", 3: "announced"}
    assert list(system.key_store().versions()) == [1, 3]
    master.poll("slow", "1", (1, 3))
    eventually(lambda: is_complete(system, 3))


def test_an_announced_version_that_a_successor_lacks_is_abandoned_and_the_rotation_goes_on(system: System) -> None:
    fill(system, 3)
    told = Told()
    master = system.start(subscriptions=told.subscriptions)
    master.poll("slow", "1", (1,))
    assert master.rotate(ADMINISTRATOR).version == 2
    system.stop()
    system.key_store().destroy(2)
    master = system.start(subscriptions=told.subscriptions)
    eventually(lambda: states(system) == {1: "active", 2: "destroyed", 3: "announced"})
    master.poll("slow", "1", (1, 3))
    eventually(lambda: is_complete(system, 3))
    eventually(lambda: told.kinds("version.") == ["version.abandoned", "version.activated"])
    assert every_password_is_right(system)


def test_an_announced_version_is_kept_while_the_key_store_is_away(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = system.start()
    master.poll("slow", "1", (1,))
    master.rotate(ADMINISTRATOR)
    system.stop()

    def away(_self: object, version: int) -> MasterSecret:
        raise KeyStoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(SealedKeyStore, "unseal", away)
        master = system.start()
        assert not master.rotation.advance()
        assert states(system) == {1: "active", 2: "announced"}
    system.stop()
    system.start().poll("slow", "1", (1, 2))
    eventually(lambda: is_complete(system, 2))


def test_a_version_that_is_not_there_cannot_be_compromised(system: System) -> None:
    with pytest.raises(VersionNotFound, match="no version 7"):
        system.start().rotate(ADMINISTRATOR, compromised=7)
    assert states(system) == {1: "active"}


# -- scheduled -------------------------------------------------------------------------------------------------------


def test_a_rotation_is_begun_when_the_active_version_is_old_and_only_once(system: System) -> None:
    fill(system, 10)
    every = timedelta(milliseconds=700)
    eventually(lambda: utc_now() - system.store().versions()[0].created_at > every)
    system.start(rotate_every=every)
    store = system.store()
    eventually(lambda: any(record.version == 2 and record.completed_at for record in store.versions()))
    system.stop()
    began = [record.created_at for record in store.versions()]  # a slow machine may have begun more
    assert all(later - earlier >= every for earlier, later in pairwise(began))
    assert {e.actor for e in system.store().audit() if e.action == "rotation.started"} == {"master secret server"}


def test_none_is_begun_before_it_is_due_or_while_rotations_are_paused(system: System) -> None:
    master = system.start(rotate_every=timedelta(days=90))
    assert not master.rotation.advance()
    assert master.status().next_rotation_at == system.store().versions()[0].created_at + timedelta(days=90)
    system.stop()
    system.store().commit([PutRotationSettings(RotationSettings(paused_at=utc_now()))], Guard())
    master = system.start(rotate_every=timedelta(microseconds=1))
    assert not master.rotation.advance()
    assert states(system) == {1: "active"}


def test_a_key_store_that_cannot_make_a_version_is_told_once_and_stops_nothing_else(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, tried = Told(), []
    monkeypatch.setattr(UnsealedVersions, "generate", lambda *_: _cannot(tried))
    master = system.start(rotate_every=timedelta(microseconds=1), subscriptions=told.subscriptions)
    eventually(lambda: "rotation.failed" in told.kinds())
    assert "no room" in told.why("rotation.failed")
    assert [master.rotation.advance() for _ in range(3)] == [False] * 3
    assert told.kinds().count("rotation.failed") == 1
    assert len(tried) == 1  # and again in a minute


def _cannot(tried: list[None]) -> None:
    tried.append(None)
    raise SealBroken("no room")


# -- the end ---------------------------------------------------------------------------------------------------------


def test_the_end_of_a_rotation_is_told_even_when_the_master_died_right_after_the_last_batch(system: System) -> None:
    """As it was found: every row under version 2, and nothing said so."""
    fill(system, 10)
    system.start().rotate(ADMINISTRATOR)
    store, told = system.store(), Told()
    eventually(lambda: is_complete(system, 2) and not store.events(1))
    system.stop()
    store.commit([PutVersion(replace(store.versions()[1], completed_at=None))], Guard())
    for _ in range(2):
        system.start(subscriptions=told.subscriptions)
        eventually(lambda: is_complete(system, 2))
        eventually(lambda: not store.events(1))
        system.stop()
    assert told.kinds() == ["rotation.finished"]
    assert [event.detail for event in told.events if event.kind == "rotation.finished"] == [
        {"subject": "version 2", "rows": 10, "verified": 10}
    ]


def test_progress_is_told_at_each_tenth_but_not_more_than_once_a_minute(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(system, 200)
    told = Told()
    master = system.start(subscriptions=told.subscriptions)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: "rotation.finished" in told.kinds())
    assert "rotation.progress" not in told.kinds()
    monkeypatch.setattr(reencryption, "TELL_SECONDS", 0.0)
    master.rotate(ADMINISTRATOR)
    eventually(lambda: told.kinds().count("rotation.finished") == 2)
    percents = [event.detail["percent"] for event in told.events if event.kind == "rotation.progress"]
    assert percents == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]


# -- what keeps it from going on -------------------------------------------------------------------------------------


def test_a_version_that_is_lost_for_good_stops_neither_the_others_nor_the_master(system: System) -> None:
    told = Told()
    fill(system, 30)
    store = system.store()
    store.commit([PutRotationSettings(RotationSettings(max_rows_per_second=1))], Guard())
    system.start().rotate(ADMINISTRATOR)
    eventually(lambda: states(system)[2] == "active")
    system.stop()
    fill(system, 30, version=2)
    system.start().rotate(ADMINISTRATOR)
    eventually(lambda: states(system)[3] == "active")
    system.stop()
    before = store.rows_by_version()
    system.key_store().destroy(1)
    store.commit([PutRotationSettings(RotationSettings())], Guard())
    master = system.start(subscriptions=told.subscriptions)
    eventually(lambda: store.rows_by_version() == {1: before[1], 3: 60 - before[1]})
    eventually(lambda: "rotation.failed" in told.kinds())
    assert told.why("rotation.failed").startswith(f"{before[1]} credentials do not decrypt")
    assert any("do not decrypt" in problem for problem in master.status().problems)


def test_a_credential_that_does_not_decrypt_is_tried_again_after_its_user_set_it_anew(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencryption, "AGAIN_SECONDS", 0.2)
    fill(system, 30)
    spoil(system, "user-1-00007")
    master = system.start()
    master.rotate(ADMINISTRATOR)
    eventually(lambda: system.store().rows_by_version() == {1: 1, 2: 29})
    eventually(lambda: any("1 credentials do not decrypt" in problem for problem in master.status().problems))
    with system.sso()[0] as sso:
        sso.set_credential("SAP", user="user-1-00007", password="user-1-00007")
    eventually(lambda: is_complete(system, 2))
    assert not master.status().problems


def test_it_is_told_that_a_live_server_does_not_fetch_and_that_somebody_forgot_to_resume(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation_alerts, "WAITING_LONG", timedelta(milliseconds=300))
    monkeypatch.setattr(rotation_alerts, "PAUSED_LONG", timedelta(milliseconds=300))
    told = Told()
    master = system.start(subscriptions=told.subscriptions)
    master.rotate(ADMINISTRATOR)

    def waits() -> bool:
        master.poll("slow", "1", (1,))
        return "rotation.stalled" in told.kinds()

    eventually(waits)
    assert told.why("rotation.stalled") == "1 live SSO servers do not hold version 2: slow"
    master.change_rotation(ADMINISTRATOR, paused=True)
    eventually(lambda: told.kinds().count("rotation.stalled") == 2)
    assert "it is paused since" in [str(e.detail.get("why")) for e in told.events][-1]
    assert [master.rotation.advance() for _ in range(3)] == [False] * 3
    assert told.kinds().count("rotation.stalled") == 2


# -- destroying ------------------------------------------------------------------------------------------------------


def test_a_version_that_is_needed_is_not_destroyed_and_the_error_names_it_and_a_row(system: System) -> None:
    """Complaints 19 and 22."""
    fill(system, 30)
    spoil(system, "user-1-00007")
    master = system.start()
    master.rotate(ADMINISTRATOR)
    eventually(lambda: system.store().rows_by_version() == {1: 1, 2: 29})
    with pytest.raises(
        VersionInUse, match=r"^1 credentials are still .* version 1, such as that of user-1-00007 for SAP"
    ):
        master.destroy(1, ADMINISTRATOR, force=True)
    assert states(system) == {1: "retiring", 2: "active"}
    assert list(system.key_store().versions()) == [1, 2]


def test_a_writer_who_commits_between_the_count_and_the_destruction_stops_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No SSO server can: the guard refuses what is not under the active version. What writes past the guard, as a
    restored table does, is seen by the look in the transaction that destroys."""
    fill(system, 1)
    master = system.start()
    late = system.store().credential("SAP", "user-1-00000")
    master.rotate(ADMINISTRATOR)
    eventually(lambda: is_complete(system, 2))
    store, commit = master._store, master._store.commit

    def write_first(changes: object, guard: Guard) -> None:
        monkeypatch.undo()
        now = store.credential("SAP", "user-1-00000")
        commit([PutCredential(replace(late, revision=now.revision))], Guard())
        commit(changes, guard)

    monkeypatch.setattr(store, "commit", write_first)
    with pytest.raises(VersionInUse, match="user-1-00000 for SAP is still under version 1"):
        master.destroy(1, ADMINISTRATOR, force=True)
    assert states(system) == {1: "retiring", 2: "active"}
    assert 1 in system.key_store().versions()


def test_destroying_what_was_compromised_is_tried_again_when_it_fails(system: System) -> None:
    fill(system, 30)
    told = Told()
    master = system.start(subscriptions=told.subscriptions)
    back_up(system, 1, 2)
    master.rotation._destroy_again_at = time.monotonic() + 60
    master.rotate(ADMINISTRATOR, compromised=1)
    eventually(lambda: is_complete(system, 2))
    spoil(system, "user-1-00007")
    master.rotation._destroy_again_at = 0.0
    eventually(lambda: "rotation.failed" in told.kinds())
    assert any("user-1-00007" in problem for problem in master.status().problems)
    with system.sso()[0] as sso:
        sso.set_credential("SAP", user="user-1-00007", password="user-1-00007")
    master.rotation._destroy_again_at = 0.0
    eventually(lambda: states(system)[1] == "destroyed")
    eventually(lambda: not master.status().problems)
