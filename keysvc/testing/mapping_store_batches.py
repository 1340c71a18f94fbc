"""The part of the conformance suite of mapping stores that is about many rows of one commit, in mixed alphabets.

A database may take such rows in one statement, and must then not treat one as it treats its neighbours: a driver that
takes the type of a column from its longest value sends the other values through a code page.
"""

from __future__ import annotations

from collections import abc
from dataclasses import replace

import pytest

from keysvc.model import AuditEntry, EncryptedCredential, Event, Mapping, Role, Server
from keysvc.plugin.audit_chain import START, link
from keysvc.plugin.changes import (
    UNGUARDED,
    AppendAudit,
    AppendEvent,
    Change,
    DeleteCredential,
    DeleteMapping,
    PutApplication,
    PutCredential,
    PutMapping,
    Reencrypt,
    SeeServers,
)
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_samples import AT, MINUTE, an_application

TWINS = (
    ("Łukasz", "Lukasz"),
    ("\ufb01nn", "finn"),
    ("\u017fven", "sven"),
    ("A\u030asa", "\u00c5sa"),
    ("日本", "??"),
    ("Жанна", "?????"),
    ("CORP\\bob", "CORP\\\\bob"),
    ('say "hi"', 'say \\"hi\\"'),
    ("tab\tend", "tab\\tend"),
)
"""Names that differ only in what a code page folds, or in what an encoding escapes. Below the level at which names are
normalised, they are different names."""

LONGEST = "a-very-long-ascii-name".ljust(256, "x")
NAMES = (LONGEST, *(name for pair in TWINS for name in pair), "🔑👩\u200d👩\u200d👧", "e\u0301", "plain", "🔑" * 200)
"""Latin, Cyrillic and Chinese letters, combining marks, emoji, and the longest ASCII, first."""


def external(name: str) -> str:
    """An external user that is another name for each name."""
    return f"{name[:200]} at SAP"


def sealed(name: str, mark: bytes = b"") -> bytes:
    """A ciphertext that tells whose it is."""
    return mark + b"\x00\xff" + name.encode()


def new_mappings() -> list[Change]:
    """One for each name."""
    return [PutMapping(Mapping("SAP", name, external(name))) for name in NAMES]


def changed_mappings(revisions: abc.Mapping[str, int]) -> list[Change]:
    """Each name's external user becomes the name before it."""
    changed = zip(NAMES, (*NAMES[1:], NAMES[0]), strict=True)
    return [PutMapping(Mapping("SAP", a, external(b), enabled=False, revision=revisions[a])) for a, b in changed]


def new_credentials() -> list[Change]:
    """One for each name."""
    return [PutCredential(EncryptedCredential("SAP", name, 1, sealed(name))) for name in NAMES]


def changed_credentials(revisions: abc.Mapping[str, int]) -> list[Change]:
    """A new ciphertext for each."""
    changed = [EncryptedCredential("SAP", name, 1, sealed(name, b"2"), revisions[name]) for name in NAMES]
    return [PutCredential(credential) for credential in changed]


def reencrypted(revisions: abc.Mapping[str, int]) -> list[Change]:
    """All of them, under version 2."""
    return [Reencrypt([EncryptedCredential("SAP", name, 2, sealed(name, b"3"), revisions[name]) for name in NAMES])]


def deleted_mappings() -> list[Change]:
    """The first of each pair of twins."""
    return [DeleteMapping("SAP", name) for name, _ in TWINS]


def deleted_credentials() -> list[Change]:
    """The first of each pair of twins."""
    return [DeleteCredential("SAP", name) for name, _ in TWINS]


def servers() -> list[Change]:
    """One for each name."""
    return [SeeServers([Server(name, "1", (1, 2), AT, Role.SERVER, "https://x", external(name)) for name in NAMES])]


def audit_entries() -> list[Change]:
    """One for each name."""
    return [AppendAudit(AuditEntry(AT, name, "act", external(name), {"name": name}, name)) for name in NAMES]


def events() -> list[Change]:
    """One for each name."""
    return [AppendEvent(Event(str(number), "k", AT, {"name": name})) for number, name in enumerate(NAMES)]


def every_batch(revision: int) -> dict[str, list[Change]]:
    """All of the above, as they are when every row has one revision."""
    revisions = dict.fromkeys(NAMES, revision)
    return {
        "new mappings": new_mappings(),
        "changed mappings": changed_mappings(revisions),
        "new credentials": new_credentials(),
        "changed credentials": changed_credentials(revisions),
        "re-encrypted credentials": reencrypted(revisions),
        "deleted mappings": deleted_mappings(),
        "deleted credentials": deleted_credentials(),
        "servers": servers(),
        "audit entries": audit_entries(),
        "events": events(),
    }


def _mappings(store: MappingStore) -> dict[str, Mapping]:
    return {mapping.user: mapping for mapping in store.mappings("SAP")}


def _credentials(store: MappingStore) -> dict[str, EncryptedCredential]:
    return {credential.user: credential for credential in store.credentials() if credential.application == "SAP"}


def _revisions(rows: abc.Mapping[str, Mapping] | abc.Mapping[str, EncryptedCredential]) -> dict[str, int]:
    return {name: row.revision for name, row in rows.items()}


class MappingStoreBatches:
    """Part of `MappingStoreConformance`."""

    @pytest.fixture
    def batched(self, store: MappingStore) -> MappingStore:
        """With a mapping and a credential for each name, each kind made in one commit."""
        store.commit(new_mappings(), UNGUARDED)
        store.commit(new_credentials(), UNGUARDED)
        return store

    def test_new_rows_of_one_commit_keep_names_of_every_alphabet(self, batched: MappingStore) -> None:
        assert {name: row.external_user for name, row in _mappings(batched).items()} == {n: external(n) for n in NAMES}
        assert {name: row.ciphertext for name, row in _credentials(batched).items()} == {n: sealed(n) for n in NAMES}
        for name in NAMES:
            assert [found.user for found in batched.mappings_of_external_user("SAP", external(name))] == [name]
            assert batched.look_up("SAP", name) is not None

    def test_rows_that_one_commit_changes_keep_names_of_every_alphabet(self, batched: MappingStore) -> None:
        batched.commit(changed_mappings(_revisions(_mappings(batched))), UNGUARDED)
        following = (*NAMES[1:], NAMES[0])
        found = {name: (row.external_user, row.enabled) for name, row in _mappings(batched).items()}
        assert found == {name: (external(next_), False) for name, next_ in zip(NAMES, following, strict=True)}
        batched.commit(changed_credentials(_revisions(_credentials(batched))), UNGUARDED)
        assert {n: row.ciphertext for n, row in _credentials(batched).items()} == {n: sealed(n, b"2") for n in NAMES}

    def test_an_import_of_new_and_changed_rows_in_one_commit_mixes_none_up(self, batched: MappingStore) -> None:
        batched.commit([*deleted_mappings()], UNGUARDED)
        mappings, credentials = _mappings(batched), _credentials(batched)
        changes: list[Change] = []
        for name in NAMES:
            row = mappings.get(name, Mapping("SAP", name, ""))
            changes.append(PutMapping(replace(row, external_user=f"import of {name[:200]}")))
        for name in NAMES:
            found = credentials.get(name, EncryptedCredential("SAP", name, 1, b""))
            changes.append(PutCredential(replace(found, ciphertext=sealed(name, b"i"))))
        batched.commit(changes, UNGUARDED)
        assert {m.external_user for m in _mappings(batched).values()} == {f"import of {name[:200]}" for name in NAMES}
        assert {n: row.ciphertext for n, row in _credentials(batched).items()} == {n: sealed(n, b"i") for n in NAMES}

    def test_a_rotation_re_encrypts_the_row_of_each_name_and_leaves_none(self, batched: MappingStore) -> None:
        before = _credentials(batched)
        own = replace(before["Lukasz"], ciphertext=b"her own")
        batched.commit([PutCredential(own)], UNGUARDED)
        batched.commit(reencrypted(_revisions(before)), UNGUARDED)
        after = _credentials(batched)
        assert (after["Lukasz"].version, after["Lukasz"].ciphertext) == (1, b"her own")
        others = {name: (row.version, row.ciphertext) for name, row in after.items() if name != "Lukasz"}
        assert others == {name: (2, sealed(name, b"3")) for name in NAMES if name != "Lukasz"}
        assert not [name for name in NAMES if name != "Lukasz" and after[name].revision == before[name].revision]

    def test_deletions_of_one_commit_take_no_twin(self, batched: MappingStore) -> None:
        gone = {name for name, _ in TWINS}
        batched.commit(deleted_credentials(), UNGUARDED)
        assert set(_credentials(batched)) == set(NAMES) - gone
        assert set(_mappings(batched)) == set(NAMES)
        batched.commit(deleted_mappings(), UNGUARDED)
        assert set(_mappings(batched)) == set(NAMES) - gone
        assert set(_credentials(batched)) == set(NAMES) - gone

    def test_credentials_that_one_commit_deletes_are_others_when_they_are_made_again(
        self, batched: MappingStore
    ) -> None:
        before = _credentials(batched)
        batched.commit(changed_credentials(_revisions(before)), UNGUARDED)
        newest = max(_revisions(_credentials(batched)).values())
        batched.commit([DeleteCredential("SAP", name) for name in NAMES], UNGUARDED)
        batched.commit(new_credentials(), UNGUARDED)
        assert min(_revisions(_credentials(batched)).values()) > newest

    def test_servers_that_are_recorded_together_keep_their_names(self, store: MappingStore) -> None:
        for seen in (servers(), servers()):
            store.commit(seen, UNGUARDED)
            assert {(s.name, s.problem) for s in store.servers()} == {(name, external(name)) for name in NAMES}
        later = [Server(name, "1", (3,), AT + MINUTE) for name, _ in TWINS]
        store.commit([SeeServers([*later, Server("new", "1", (3,), AT)])], UNGUARDED)
        assert {s.name for s in store.servers() if s.versions_held == (3,)} == {"new", *(name for name, _ in TWINS)}

    def test_audit_entries_of_one_commit_keep_their_text_and_their_chain(self, store: MappingStore) -> None:
        store.commit(audit_entries(), UNGUARDED)
        last = START
        for name, entry in zip(NAMES, store.audit(), strict=True):
            last = link(last, entry)
            assert (entry.actor, entry.subject, entry.detail["name"], entry.link) == (name, external(name), name, last)

    def test_events_of_one_commit_keep_their_text_and_their_order(self, store: MappingStore) -> None:
        store.commit(events(), UNGUARDED)
        assert [event.detail["name"] for event in store.events(len(NAMES) + 1)] == list(NAMES)

    def test_thousands_of_rows_are_changed_and_deleted_in_one_commit(self, store: MappingStore) -> None:
        names = [f"{NAMES[number % len(NAMES)][:200]} {number}" for number in range(2500)]
        store.commit([PutApplication(an_application("ERP"))], UNGUARDED)
        store.commit([PutMapping(Mapping("ERP", name, "A")) for name in names], UNGUARDED)
        rows = store.mappings("ERP", limit=5000)
        store.commit([PutMapping(replace(row, external_user=external(row.user))) for row in rows], UNGUARDED)
        assert {row.user: row.external_user for row in store.mappings("ERP", limit=5000)} == {
            name: external(name) for name in names
        }
        store.commit([DeleteMapping("ERP", name) for name in names[::2]], UNGUARDED)
        assert {row.user for row in store.mappings("ERP", limit=5000)} == set(names[1::2])
