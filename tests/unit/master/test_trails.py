"""The audit trails: what was written can be proved, and nothing of it is lost without a trace."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, update
from systems import LEASE_TTL, SYSTEM_ID, System, configured, eventually, keeping_events
from tampering import Tampering, entries, heads, saved, within

from keysvc.crypto.audit import audit_keys
from keysvc.errors import Conflict
from keysvc.master import audit_trails, lifecycle, watch
from keysvc.master.term import Term
from keysvc.model import AuditEntry, AuditTrail, utc_now
from keysvc.plugin.audit_chain import AuditKeys
from keysvc.plugin.changes import UNGUARDED, AppendAudit, PruneAudit, PutSystem, SealAudit

CHANGES = AuditTrail.CHANGES


def keys_of(system: System) -> AuditKeys:
    key_store = system.key_store()
    return audit_keys([key_store.unseal(version) for version in key_store.versions()], SYSTEM_ID)


def problems(
    system: System, trail: AuditTrail = CHANGES, known: audit_trails.Checkpoint | None = None
) -> tuple[str, ...]:
    return audit_trails.verify(system.store(), trail, keys_of(system), known).problems


def write(store, *subjects: str, keys: AuditKeys | None = None, action: str = "act") -> None:
    notes = [AppendAudit(AuditEntry(utc_now(), "me", action, subject, {"n": 1})) for subject in subjects]
    seals = [SealAudit(note.entry.trail, keys) for note in notes[:1] if keys]
    store.commit([*notes, *seals], UNGUARDED)


def end(store, trail: AuditTrail = CHANGES):
    return next(head for head in store.audit_heads() if head.trail is trail)


def test_a_new_system_has_trails_that_are_whole(system: System) -> None:
    assert [problems(system, trail) for trail in AuditTrail] == [()] * len(AuditTrail)
    assert [entry.action for entry in system.store().audit()] == ["system.configured"]


@pytest.mark.parametrize("sealed", [True, False])
def test_tampering_at_a_random_entry_is_found_every_time(system: System, sealed: bool) -> None:
    store, keys = system.store(), keys_of(system)
    for number in range(30):
        write(store, f"one {number}", f"another {number}", keys=keys if sealed or number == 0 else None)
    restore = saved(store)
    for seed in range(100):
        tampering = Tampering(store, seed)
        assert audit_trails.verify(store, CHANGES, keys).problems, tampering.did
        restore()
    assert audit_trails.verify(store, CHANGES, keys).problems == ()


def test_what_was_tampered_with_before_it_was_sealed_is_never_sealed(system: System) -> None:
    store, keys = system.store(), keys_of(system)
    write(store, "sealed", keys=keys)
    write(store, "without a key", "and another")
    within(store, lambda c: c.execute(update(entries).where(entries.c.sequence == 3).values(actor="nobody")))
    write(store, "by a writer with a key", keys=keys)
    assert end(store).sealed_sequence == 2
    assert problems(system)[0].startswith("entry 3 was changed")


def test_a_seal_that_was_removed_or_forged_is_not_made_good_by_the_next_writer(system: System) -> None:
    store, keys = system.store(), keys_of(system)
    write(store, "one", keys=keys)
    for forged, said in (
        ({"mac": bytes(32)}, "forged"),
        ({"sealed_version": 0}, "removed"),
        ({"sealed_version": 9}, "9"),
    ):
        restore = saved(store)
        within(store, lambda c, forged=forged: c.execute(update(heads).values(forged)))
        write(store, "two", keys=keys)
        assert any(said in problem for problem in problems(system)), said
        restore()


def test_a_trail_that_was_emptied_as_if_nothing_had_ever_been_written_is_found(system: System) -> None:
    store = system.store()
    within(
        store,
        lambda c: c.execute(update(heads).where(heads.c.trail == AuditTrail.LOOKUPS).values(sealed_version=0, mac=b"")),
    )
    write(store, "SAP: anna", keys=keys_of(system), action="credential.looked-up")
    assert problems(system, AuditTrail.LOOKUPS) == ("its seal was removed",)


def test_a_database_that_was_turned_back_is_found_by_whoever_remembers_a_later_end(system: System) -> None:
    store, keys = system.store(), keys_of(system)
    restore = saved(store)
    write(store, "later", keys=keys)
    known = audit_trails.Checkpoint(end(store).sequence, end(store).link)
    assert problems(system, known=known) == ()
    restore()
    assert problems(system) == ()
    assert problems(system, known=known) == ("entry 2 was there, and the trail ends at 1",)


def test_the_trails_stay_proved_through_rotations_and_the_destruction_of_their_keys(system: System) -> None:
    system.with_users("anna")
    master = system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", user="anna", password="geheim")
    store = system.store()
    for version in (2, 3):
        master.rotate("administrator")
        eventually(
            lambda v=version: not [*master.status().versions][v - 2].rows and master.status().active_version == v
        )
        master.destroy(version - 1, "administrator", force=True)
        sso.set_credential("SAP", user="anna", password=f"geheim {version}")
    system.stop()
    assert {head.sealed_version for head in store.audit_heads()} == {3}
    assert [problems(system, trail) for trail in AuditTrail] == [()] * len(AuditTrail)
    restore = saved(store)
    for seed in range(20):
        did = Tampering(store, seed).did
        assert problems(system), did
        restore()


def test_a_trail_is_kept_within_its_size_and_what_is_left_is_proved(system: System) -> None:
    store = system.store()
    record = store.system()
    store.commit(
        [PutSystem(replace(record, settings=replace(record.settings, audit_credential_lookups=50)))], UNGUARDED
    )
    for page in range(4):
        write(store, *(f"SAP: user {page}.{n}" for n in range(30)), action="credential.looked-up")
    write(store, *(f"kept {n}" for n in range(70)))
    term = Term(store, LEASE_TTL)
    term.take_or_refuse()
    keeper = audit_trails.Trails(store, term, lambda: keys_of(system))
    keeper.look()
    left = store.audit(AuditTrail.LOOKUPS)
    assert (len(left), left[-1].subject, left[0].sequence) == (50, "SAP: user 3.29", 71)
    assert len(store.audit(CHANGES)) == 71
    assert [problems(system, trail) for trail in AuditTrail] == [()] * len(AuditTrail)
    within(store, lambda c: c.execute(delete(entries).where(entries.c.trail == "lookups", entries.c.sequence < 75)))
    assert problems(system, AuditTrail.LOOKUPS) == ("entries 71 to 74 are missing",)


def test_nobody_prunes_what_is_not_sealed_or_without_the_keys(system: System) -> None:
    store, keys = system.store(), keys_of(system)
    write(store, "one", "two", keys=keys)
    for through, with_keys in ((9, keys), (0, keys), (2, AuditKeys(SYSTEM_ID, {}))):
        with pytest.raises(Conflict, match="cannot be pruned"):
            store.commit([PruneAudit(CHANGES, through, with_keys)], UNGUARDED)
    assert len(store.audit()) == 3


def test_the_master_seals_what_others_wrote_and_tells_when_a_trail_was_changed(system, monkeypatch) -> None:
    monkeypatch.setattr(audit_trails, "VERIFY_SECONDS", 0.1)
    monkeypatch.setattr(audit_trails, "SEAL_SECONDS", 0.1)
    system.with_users("anna", "bert")
    master, store = system.start(subscriptions=keeping_events()), system.store()
    eventually(lambda: end(store).sealed_sequence == end(store).sequence > 3)
    within(store, lambda c: c.execute(update(entries).where(entries.c.sequence == 2).values(actor="nobody")))
    monkeypatch.setattr(audit_trails, "VERIFY_ALL_SECONDS", 0.0)
    master._trails._verify_all_at = 0.0
    eventually(lambda: any(event.kind == "audit.chain-broken" for event in store.events(50)))
    told = [event for event in store.events(50) if event.kind == "audit.chain-broken"]
    assert (len(told), told[0].detail["subject"]) == (1, "changes")
    assert "entry 2 was changed" in str(master.status().problems)


def test_a_key_store_that_is_away_is_not_taken_for_a_changed_trail(system: System, monkeypatch) -> None:
    monkeypatch.setattr(audit_trails, "SEAL_SECONDS", 60.0)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.05)
    away = (system.folder / "secret").rename(system.folder / "away")
    master, store = system.start(), system.store()
    master._trails.look()
    assert "version 1" in str(master.status().problems)
    assert "audit" not in str(master.status().problems)
    away.rename(system.folder / "secret")
    eventually(lambda: master.status().state == "ready")
    within(store, lambda c: c.execute(update(entries).where(entries.c.sequence == 1).values(actor="nobody")))
    master._trails.look()
    assert "entry 1 was changed" in str(master.status().problems), "it is verified as soon as it can be"


def test_a_broken_trail_goes_on_once_an_administrator_accepted_it(system: System) -> None:
    store, keys = system.store(), keys_of(system)
    write(store, "one", "two", keys=keys)
    within(store, lambda c: c.execute(delete(entries).where(entries.c.sequence == 2)))
    term = Term(store, LEASE_TTL)
    term.take_or_refuse()
    assert problems(system)
    audit_trails.accept(term, CHANGES, keys, "administrator")
    assert problems(system) == ()
    assert [(e.action, e.actor) for e in store.audit()][-1] == ("audit.accepted", "administrator")
    within(store, lambda c: c.execute(update(entries).where(entries.c.sequence == 4).values(actor="nobody")))
    assert problems(system)


def test_entries_of_many_writers_at_once_have_no_gap_and_are_proved(system: System) -> None:
    keys, ready = keys_of(system), threading.Barrier(6)

    def run(number: int) -> None:
        store = system.store()
        ready.wait()
        for count in range(15):
            action = ("act", "credential.looked-up", "mapping.deleted")[(number + count) % 3]
            write(store, f"{number}.{count}", "with", keys=keys if number % 2 else None, action=action)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = system.store()
    for trail in AuditTrail:
        sequences = [entry.sequence for entry in store.audit(trail, limit=1000)]
        assert sequences == list(range(1, len(sequences) + 1))
        assert problems(system, trail) == ()
    assert sum(len(store.audit(trail, limit=1000)) for trail in AuditTrail) == 1 + 6 * 15 * 2


MEMBERS = AuditTrail.MEMBERS
OF_0_1 = [trail for trail in AuditTrail if trail is not MEMBERS]


def by_a_member(subject: str) -> AppendAudit:
    return AppendAudit(AuditEntry(utc_now(), "web-01", "version.fetched", subject, trail=MEMBERS))


def trails_of(system: System) -> audit_trails.Trails:
    term = Term(system.store(), LEASE_TTL)
    term.take_or_refuse()
    return audit_trails.Trails(system.store(), term, lambda: keys_of(system))


def test_a_trail_that_an_upgrade_added_is_sealed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "AuditTrail", OF_0_1)
        system = configured(tmp_path)
    store = system.store()
    store.commit([by_a_member("version 1")], UNGUARDED)  # before a master secret server began
    trails = trails_of(system)
    trails.seal()
    trails.seal()
    assert [entry.action for entry in store.audit()] == ["system.configured", "audit.trail-begun"]
    assert [problems(system, trail) for trail in AuditTrail] == [()] * len(AuditTrail)
    system.close()


def test_the_members_trail_is_not_sealed_anew_when_somebody_emptied_it(system: System) -> None:
    store, trails = system.store(), trails_of(system)
    store.commit([by_a_member("version 1")], UNGUARDED)
    trails.seal()
    nothing = {"sequence": 0, "link": bytes(32), "sealed_sequence": 0, "sealed_link": bytes(32)}
    within(store, lambda c: c.execute(delete(entries).where(entries.c.trail == MEMBERS)))
    within(
        store,
        lambda c: c.execute(update(heads).where(heads.c.trail == MEMBERS).values(**nothing, sealed_version=0, mac=b"")),
    )
    trails.seal()
    trails.seal()
    assert problems(system, MEMBERS) == ("its seal was removed",)
    assert [entry.action for entry in store.audit()] == ["system.configured"]
