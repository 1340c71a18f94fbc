"""The part of the conformance suite of mapping stores that is about single rows and pages of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from keysvc.errors import Conflict, InvalidInput, NotFound
from keysvc.model import (
    ApplicationType,
    CredentialKey,
    Enrolment,
    Event,
    Flags,
    Identity,
    Mapping,
    ParkedEvent,
    Role,
    Server,
    Severity,
    UsedTicket,
)
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendEvent,
    DeleteApplication,
    DeleteCredential,
    DeleteMapping,
    EventDelivered,
    ForgetEvents,
    ForgetServer,
    ParkEvent,
    PutApplication,
    PutCredential,
    PutEnrolment,
    PutIdentity,
    PutMapping,
    RedeemEnrolment,
    Reencrypt,
    RetryEvent,
    SeeServers,
    UseTicket,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_samples import (
    AT,
    MINUTE,
    a_credential,
    an_application,
    users,
)

NASTY_NAMES = (
    "Jürgen Łukasz",
    "日本語の名前",
    "🔑👩‍👩‍👧",
    'O\'Brien; DROP TABLE "mappings" -- %s :x ? \\',
    "line\nfeed\ttab",
    "e\u0301",
    "é",
    "CORP\\alice",
    "N" * 256,
    "ж" * 256,
)


class MappingStoreRows:
    """Part of `MappingStoreConformance`."""

    # -- tickets ---------------------------------------------------------------------------------------------------

    def test_a_ticket_is_used_once(self, store: MappingStore) -> None:
        tickets = [UsedTicket(f"{number:032x}", AT + number * MINUTE) for number in range(1, 4)]
        store.commit([UseTicket(ticket, AT) for ticket in tickets], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([UseTicket(tickets[1], AT)], UNGUARDED)
        assert list(store.used_tickets()) == tickets
        assert list(store.used_tickets(after=tickets[0].ticket_id, limit=1)) == [tickets[1]]

    def test_tickets_that_ended_are_forgotten_and_no_others(self, store: MappingStore) -> None:
        tickets = [UsedTicket(f"{number:032x}", AT + number * MINUTE) for number in range(1, 5)]
        store.commit([UseTicket(ticket, AT) for ticket in tickets[:3]], UNGUARDED)
        store.commit([UseTicket(tickets[3], AT + 2 * MINUTE)], UNGUARDED)
        assert list(store.used_tickets()) == tickets[1:]

    # -- applications, mappings, credentials ------------------------------------------------------------------------

    def test_an_application_comes_back_whole(self, store: MappingStore) -> None:
        flags = Flags(enabled=True, allow_tickets=True, windows_initiated=False)
        accounts = {"user_accounts": ("CORP\\u", "x"), "administrator_accounts": ("ü",), "ticket_timeout_minutes": 7}
        whole = an_application(
            "ERP", type=ApplicationType.CONFIG_STORE, flags=flags, description="d" * 5000, **accounts
        )
        store.commit([PutApplication(whole)], UNGUARDED)
        found = store.application("ERP")
        assert found is not None
        assert found.revision != 0
        assert replace(found, revision=0) == whole
        assert [application.name for application in store.applications()] == ["ERP", "SAP"]

    def test_compare_and_swap_on_an_application(self, store: MappingStore) -> None:
        first = store.application("SAP")
        assert first is not None
        store.commit([PutApplication(replace(first, description="mine"))], UNGUARDED)
        for stale in (replace(first, description="theirs"), replace(first, revision=0)):
            with pytest.raises(Conflict):
                store.commit([PutApplication(stale)], UNGUARDED)
        found = store.application("SAP")
        assert found is not None
        assert (found.description, found.revision != first.revision) == ("mine", True)
        with pytest.raises(Conflict):
            store.commit([PutApplication(replace(first, name="CRM"))], UNGUARDED)

    def test_compare_and_swap_on_a_mapping(self, store: MappingStore) -> None:
        store.commit([PutMapping(Mapping("SAP", "alice", "A", enabled=False))], UNGUARDED)
        first = store.mapping("SAP", "alice")
        assert first is not None
        store.commit([PutMapping(replace(first, external_user="B", enabled=True))], UNGUARDED)
        for stale in (replace(first, external_user="C"), replace(first, revision=0)):
            with pytest.raises(Conflict):
                store.commit([PutMapping(stale)], UNGUARDED)
        found = store.mapping("SAP", "alice")
        assert found is not None
        assert (found.external_user, found.enabled) == ("B", True)
        with pytest.raises(Conflict):
            store.commit([PutMapping(replace(first, user="bob"))], UNGUARDED)
        with pytest.raises(NotFound):
            store.commit([PutMapping(Mapping("CRM", "alice", "A"))], UNGUARDED)

    def test_what_a_look_up_needs_comes_in_one_read(self, store: MappingStore) -> None:
        store.commit([*users("alice"), PutMapping(Mapping("SAP", "bob", "B"))], UNGUARDED)
        for user in ("alice", "bob", "nobody", "ALICE"):
            three = store.application("SAP"), store.mapping("SAP", user), store.credential("SAP", user)
            assert store.look_up("SAP", user) == three
        assert store.look_up("ERP", "alice") is None

    def test_compare_and_swap_on_a_credential(self, store: MappingStore) -> None:
        store.commit(users("alice"), UNGUARDED)
        first = store.credential("SAP", "alice")
        assert first is not None
        store.commit([PutCredential(replace(first, ciphertext=b"mine"))], UNGUARDED)
        for stale in (replace(first, ciphertext=b"theirs"), replace(first, revision=0)):
            with pytest.raises(Conflict):
                store.commit([PutCredential(stale)], UNGUARDED)
        found = store.credential("SAP", "alice")
        assert found is not None
        assert found.ciphertext == b"mine"
        with pytest.raises(NotFound):
            store.commit([PutCredential(a_credential("bob"))], UNGUARDED)

    def test_a_row_made_again_is_not_the_row_that_was_read_before(self, store: MappingStore) -> None:
        store.commit(users("alice"), UNGUARDED)
        mapping, credential = store.mapping("SAP", "alice"), store.credential("SAP", "alice")
        assert mapping is not None
        assert credential is not None
        store.commit([DeleteMapping("SAP", "alice")], UNGUARDED)
        store.commit(users("alice"), UNGUARDED)
        for change in (
            PutMapping(replace(mapping, external_user="X")),
            PutCredential(replace(credential, ciphertext=b"X")),
        ):
            with pytest.raises(Conflict):
                store.commit([change], UNGUARDED)
        store.commit([Reencrypt([replace(credential, ciphertext=b"X")])], UNGUARDED)
        assert [found.ciphertext for found in store.credentials()] == [b"alice"]

    def test_reencrypt_leaves_alone_what_changed_meanwhile(self, store: MappingStore) -> None:
        store.commit(users("alice", "bob", "carol"), UNGUARDED)
        read = store.credentials()
        store.commit([PutCredential(replace(read[1], ciphertext=b"her own"))], UNGUARDED)
        store.commit([DeleteCredential("SAP", "carol")], UNGUARDED)
        store.commit([Reencrypt([replace(c, version=2, ciphertext=b"new") for c in read]), Reencrypt([])], UNGUARDED)
        found = [(c.user, c.version, c.ciphertext) for c in store.credentials()]
        assert found == [("alice", 2, b"new"), ("bob", 1, b"her own")]
        assert store.credentials()[0].revision != read[0].revision
        assert store.rows_by_version() == {1: 1, 2: 1}

    def test_deleting_an_application_takes_its_mappings_and_credentials_along(self, store: MappingStore) -> None:
        store.commit(
            [PutApplication(an_application("ERP")), *users("alice", application="ERP"), *users("bob")], UNGUARDED
        )
        store.commit([DeleteApplication("ERP")], UNGUARDED)
        assert store.application("ERP") is None
        assert store.mapping("ERP", "alice") is None
        assert [credential.key for credential in store.credentials()] == [CredentialKey("SAP", "bob")]
        with pytest.raises(Conflict):
            store.commit([DeleteApplication("ERP")], UNGUARDED)

    def test_deleting_a_mapping_takes_its_credential_along(self, store: MappingStore) -> None:
        store.commit(users("alice", "bob"), UNGUARDED)
        store.commit([DeleteMapping("SAP", "alice"), DeleteCredential("SAP", "bob")], UNGUARDED)
        assert not store.credentials()
        assert [mapping.user for mapping in store.mappings("SAP")] == ["bob"]
        for gone in (DeleteMapping("SAP", "alice"), DeleteCredential("SAP", "bob")):
            with pytest.raises(Conflict):
                store.commit([gone], UNGUARDED)

    @pytest.mark.parametrize("name", NASTY_NAMES)
    def test_a_nasty_name_comes_back_exactly(self, store: MappingStore, name: str) -> None:
        application = an_application(name, application_id="0" * 32)
        store.commit([PutApplication(application), *users(name, application=name)], UNGUARDED)
        kept = store.application(name)
        assert kept is not None
        assert replace(kept, revision=0) == application
        assert [found.user for found in store.mappings(name)] == [name]
        found = store.credential(name, name)
        assert found is not None
        assert (found.application, found.user, found.ciphertext) == (name, name, name.encode())

    def test_names_that_look_alike_are_kept_apart(self, store: MappingStore) -> None:
        alike = ["Alice", "alice", "ALICE", "àlice", "ß", "ss", "e\u0301", "é", "\uff41lice", "I", "\u0131", "i"]
        store.commit(users(*alike), UNGUARDED)
        assert len(store.mappings("SAP")) == len(alike)
        for name in alike:
            found = store.mapping("SAP", name)
            assert found is not None
            assert found.user == name
        assert store.application("sap") is None

    @pytest.mark.parametrize("name", ["alice\0mallory", "alice ", "N" * 257, "\ud800"])
    def test_a_name_that_cannot_be_kept_is_refused_whole_never_changed(self, store: MappingStore, name: str) -> None:
        store.commit(users("alice"), UNGUARDED)
        try:
            store.commit(users(name), UNGUARDED)
        except InvalidInput:
            assert [mapping.user for mapping in store.mappings("SAP")] == ["alice"]
        else:
            assert sorted(mapping.user for mapping in store.mappings("SAP")) == sorted(["alice", name])

    @pytest.mark.parametrize("size", [0, 1, 65536])
    def test_a_ciphertext_of_any_size_comes_back_exactly(self, store: MappingStore, size: int) -> None:
        content = (bytes(range(256)) * 256)[:size]
        store.commit(
            [PutMapping(Mapping("SAP", "alice", "A")), PutCredential(a_credential(ciphertext=content))], UNGUARDED
        )
        found = store.credential("SAP", "alice")
        assert found is not None
        assert found.ciphertext == content

    def test_ten_thousand_mappings_of_one_external_user_are_written_and_read(self, store: MappingStore) -> None:
        names = [f"u{number:05}" for number in range(10_000)]
        store.commit([PutMapping(Mapping("SAP", name, "SHARED")) for name in names], UNGUARDED)
        assert [mapping.user for mapping in store.mappings_of_external_user("SAP", "SHARED")] == names
        assert [mapping.user for mapping in store.mappings("SAP", after=names[-4], limit=9)] == names[-3:]

    def test_of_many_rows_in_one_commit_the_one_that_does_not_fit_refuses_all(self, store: MappingStore) -> None:
        many = [PutMapping(Mapping("SAP", f"u{number}", "A")) for number in range(50)]
        with pytest.raises(Conflict, match="u7"):
            store.commit([*many, many[7]], UNGUARDED)
        with pytest.raises(NotFound):
            store.commit([*many, PutMapping(Mapping("CRM", "u7", "A"))], UNGUARDED)
        assert not store.mappings("SAP")

    def test_of_many_changed_rows_in_one_commit_a_stale_one_refuses_all(self, store: MappingStore) -> None:
        names = [f"u{number:02}" for number in range(50)]
        sealed = [PutCredential(replace(a_credential(), user=name)) for name in names]
        store.commit([*(PutMapping(Mapping("SAP", name, "A")) for name in names), *sealed], UNGUARDED)
        before = list(store.mappings("SAP"))
        changed = [PutMapping(replace(mapping, external_user="B")) for mapping in before]
        store.commit([changed[7]], UNGUARDED)
        with pytest.raises(Conflict, match="u07"):
            store.commit(changed, UNGUARDED)
        assert [mapping.external_user for mapping in store.mappings("SAP")].count("B") == 1
        now = list(store.mappings("SAP"))
        store.commit([PutMapping(replace(mapping, external_user="C")) for mapping in now], UNGUARDED)
        assert {mapping.external_user for mapping in store.mappings("SAP")} == {"C"}
        assert not {(m.user, m.revision) for m in store.mappings("SAP")} & {(m.user, m.revision) for m in now}

    def test_of_many_deleted_rows_in_one_commit_a_missing_one_keeps_all(self, store: MappingStore) -> None:
        names = [f"u{number}" for number in range(50)]
        store.commit([PutMapping(Mapping("SAP", name, "A")) for name in names], UNGUARDED)
        deletions = [DeleteMapping("SAP", name) for name in names]
        with pytest.raises(Conflict, match="u99"):
            store.commit([*deletions, DeleteMapping("SAP", "u99")], UNGUARDED)
        before = {mapping.revision for mapping in store.mappings("SAP")}
        assert len(store.mappings("SAP")) == 50
        store.commit(deletions, UNGUARDED)
        assert not store.mappings("SAP")
        store.commit([PutMapping(Mapping("SAP", name, "A")) for name in names], UNGUARDED)
        assert not {mapping.revision for mapping in store.mappings("SAP")} & before

    def test_mappings_are_found_by_their_external_user(self, store: MappingStore) -> None:
        names = {"alice": "SHARED", "bob": "shared", "carol": "SHARED"}
        store.commit([PutMapping(Mapping("SAP", user, external)) for user, external in names.items()], UNGUARDED)
        assert [mapping.user for mapping in store.mappings_of_external_user("SAP", "SHARED")] == ["alice", "carol"]
        assert not store.mappings_of_external_user("CRM", "SHARED")

    # -- pages ------------------------------------------------------------------------------------------------------

    def test_pages_of_mappings_stay_steady_while_rows_change(self, store: MappingStore) -> None:
        store.commit(users(*(f"u{number:02}" for number in range(20))), UNGUARDED)
        seen: list[str] = []
        while page := store.mappings("SAP", after=seen[-1] if seen else "", limit=4):
            seen += [mapping.user for mapping in page]
            store.commit([DeleteMapping("SAP", seen[-1]), *users(f"a{seen[-1]}", f"b{seen[-1]}")], UNGUARDED)
        assert seen == [f"u{number:02}" for number in range(20)]

    def test_pages_of_credentials_cross_applications_and_stay_steady(self, store: MappingStore) -> None:
        for name in ("ERP", "CRM"):
            changes = users(*(f"u{number}" for number in range(7)), application=name)
            store.commit([PutApplication(an_application(name)), *changes], UNGUARDED)
        seen: list[CredentialKey] = []
        while page := store.credentials(after=seen[-1] if seen else None, limit=3, under=1):
            seen += [credential.key for credential in page]
            store.commit([Reencrypt([replace(credential, version=2) for credential in page])], UNGUARDED)
        assert seen == [CredentialKey(name, f"u{number}") for name in ("CRM", "ERP") for number in range(7)]
        assert store.rows_by_version() == {2: 14}
        assert not store.credentials(under=1)
        assert [row.user for row in store.credentials(under=2, limit=2)] == ["u0", "u1"]
        assert len(store.credentials(limit=5)) == 5

    # -- servers, identities, enrolments ----------------------------------------------------------------------------

    def test_servers_are_seen_again_and_forgotten_one_by_one(self, store: MappingStore) -> None:
        one, two = Server("web", "1", (1, 2), AT), Server("web", "2", (), AT, Role.MASTER, "https://m2:7443", "why")
        store.commit([SeeServers([two, one])], UNGUARDED)
        assert list(store.servers()) == [one, two]
        later = replace(one, seen_at=AT + MINUTE, versions_held=(2,))
        store.commit([SeeServers([later])], UNGUARDED)
        assert list(store.servers()) == [later, two]
        two = replace(two, seen_at=AT + MINUTE, url="", problem="")
        store.commit([SeeServers([one, two])], UNGUARDED)
        assert list(store.servers()) == [one, two]
        new = replace(one, instance="3")
        store.commit([SeeServers([later, two, new])], UNGUARDED)
        assert list(store.servers()) == [later, two, new]
        store.commit([ForgetServer("web", "2"), ForgetServer("web", "3"), ForgetServer("web", "4")], UNGUARDED)
        assert list(store.servers()) == [later]

    def test_an_identity_is_replaced_by_name(self, store: MappingStore) -> None:
        first = Identity("web", Role.SERVER, "0a", AT)
        second = replace(first, serial="0b", revoked_at=AT + MINUTE)
        admin = Identity("admin", Role.ADMINISTRATOR, "0c", AT)
        store.commit([PutIdentity(first), PutIdentity(admin), PutIdentity(second)], UNGUARDED)
        assert list(store.identities()) == [admin, second]

    def test_a_join_token_is_redeemed_once(self, store: MappingStore) -> None:
        token = Enrolment("ab" * 32, "web", Role.SERVER, AT + MINUTE)
        store.commit([PutEnrolment(token)], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([PutEnrolment(token)], UNGUARDED)
        store.commit([RedeemEnrolment(token.token_hash, AT)], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([RedeemEnrolment(token.token_hash, AT)], UNGUARDED)
        with pytest.raises(NotFound):
            store.commit([RedeemEnrolment("cd" * 32, AT)], UNGUARDED)
        assert store.enrolment(token.token_hash) == replace(token, redeemed_at=AT)
        assert store.enrolment("cd" * 32) is None

    # -- outbox and audit -------------------------------------------------------------------------------------------

    def test_the_outbox_gives_the_oldest_event_first(self, store: MappingStore) -> None:
        events = [
            Event(str(number), "k", AT - number * MINUTE, {"a": 1, "b": "ü", "c": True}, Severity.WARNING)
            for number in range(5)
        ]
        store.commit([AppendEvent(event) for event in events], UNGUARDED)
        assert list(store.events(3)) == list(store.events(3, pending_for="mail")) == events[:3]

    def test_what_one_notifier_accepted_is_pending_for_the_others(self, store: MappingStore) -> None:
        store.commit([AppendEvent(Event(name, "k", AT, {})) for name in "abc"], UNGUARDED)
        accepted = EventDelivered("b", "mail")
        store.commit([accepted, accepted, EventDelivered("never", "mail")], UNGUARDED)
        assert [event.event_id for event in store.events(9, pending_for="mail")] == ["a", "c"]
        assert [event.event_id for event in store.events(9, pending_for="syslog")] == ["a", "b", "c"]
        assert len(store.events(9)) == 3

    def test_a_parked_event_waits_until_somebody_asks_for_it(self, store: MappingStore) -> None:
        events = [Event(name, "k", AT, {}) for name in "abc"]
        store.commit([AppendEvent(event) for event in events], UNGUARDED)
        store.commit(
            [ParkEvent("b", "mail", "no such user", AT + MINUTE), ParkEvent("never", "mail", "x", AT)], UNGUARDED
        )
        assert list(store.parked_events(9)) == [ParkedEvent(events[1], "mail", "no such user", AT + MINUTE)]
        assert [event.event_id for event in store.events(9, pending_for="mail")] == ["a", "c"]
        store.commit([RetryEvent("b", "mail")], UNGUARDED)
        assert list(store.parked_events(9)) == []
        assert [event.event_id for event in store.events(9, pending_for="mail")] == ["a", "b", "c"]
        for event_id, notifier in (("b", "mail"), ("b", "syslog"), ("never", "mail")):
            with pytest.raises(NotFound):
                store.commit([RetryEvent(event_id, notifier)], UNGUARDED)

    def test_the_outbox_forgets_only_what_every_notifier_accepted(self, store: MappingStore) -> None:
        store.commit([AppendEvent(Event(name, "k", AT, {})) for name in "abcd"], UNGUARDED)
        accepted = [("a", "mail"), ("a", "syslog"), ("b", "mail"), ("c", "mail"), ("d", "of old")]
        store.commit([EventDelivered(*each) for each in accepted], UNGUARDED)
        store.commit([ParkEvent("c", "syslog", "too large", AT), ForgetEvents(("mail", "syslog"))], UNGUARDED)
        assert [event.event_id for event in store.events(9)] == ["b", "c", "d"]
        assert [parked.event.event_id for parked in store.parked_events(9)] == ["c"]
        store.commit([ForgetEvents(())], UNGUARDED)
        assert not store.events(9)
