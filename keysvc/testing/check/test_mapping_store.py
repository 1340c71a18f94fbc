"""What can be checked of a mapping store that may be in use: on one throw-away application, away from lease, versions,
audit and outbox. Credentials are written only where no system is: a rotation would try to decrypt them."""

from __future__ import annotations

import secrets
from collections import abc
from dataclasses import replace

import pytest

from keysvc.errors import Conflict, Fenced, NotFound, StaleVersion
from keysvc.model import EncryptedCredential, Guard, Mapping, VersionId
from keysvc.plugin.changes import UNGUARDED, DeleteApplication, PutApplication, PutCredential, PutMapping, Reencrypt
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_rows import NASTY_NAMES
from keysvc.testing.mapping_store_samples import OpenStore, an_application

NEVER_ACTIVE = 2**31 - 1
WRITERS, ROUNDS = 4, 5


class TestMappingStore:
    @pytest.fixture
    def open_store(self, open_part: OpenStore) -> OpenStore:
        return open_part

    @pytest.fixture
    def store(self, open_store: OpenStore) -> MappingStore:
        opened = open_store()
        opened.prepare()
        return opened

    @pytest.fixture
    def name(self, store: MappingStore) -> abc.Iterator[str]:
        name = f"keysvc-plugin-check-{secrets.token_hex(4)}"
        store.commit([PutApplication(an_application(name))], UNGUARDED)
        yield name
        store.commit([DeleteApplication(name)], UNGUARDED)
        assert store.application(name) is None, f"the application {name} stays behind"

    @pytest.fixture
    def free(self, store: MappingStore) -> None:
        if store.system() is not None:
            pytest.skip("a system is in it: credentials are written only where none is")

    def test_prepare_is_repeatable(self, store: MappingStore) -> None:
        before = store.info().schema_version
        store.prepare()
        assert store.info().schema_version == before >= 1

    def test_an_application_comes_back_whole(self, store: MappingStore, name: str) -> None:
        found = store.application(name)
        assert found is not None
        assert replace(found, revision=0) == an_application(name)
        assert name in [application.name for application in store.applications()]

    def test_what_was_committed_is_there_after_a_restart(
        self, store: MappingStore, name: str, open_store: OpenStore
    ) -> None:
        store.commit([PutMapping(Mapping(name, "alice", "A"))], UNGUARDED)
        store.close()
        found = open_store().mapping(name, "alice")
        assert found is not None
        assert found.external_user == "A"

    def test_nasty_names_come_back_exactly(self, store: MappingStore, name: str) -> None:
        system = store.system()
        key = str if system is None else system.settings.names.key
        users = {key(user): user for user in NASTY_NAMES}.values()  # a system with folded names takes one of each key
        store.commit([PutMapping(Mapping(name, user, user[:200])) for user in users], UNGUARDED)
        assert {mapping.user for mapping in store.mappings(name)} == set(users)

    def test_pages_are_in_order_and_whole(self, store: MappingStore, name: str) -> None:
        users = [f"u{number:02}" for number in range(20)]
        store.commit([PutMapping(Mapping(name, user, "A")) for user in users], UNGUARDED)
        seen: list[str] = []
        while page := store.mappings(name, after=seen[-1] if seen else "", limit=7):
            seen += [mapping.user for mapping in page]
        assert seen == users

    def test_a_commit_is_all_or_none(self, store: MappingStore, name: str) -> None:
        fails = PutCredential(EncryptedCredential(name, "nobody", NEVER_ACTIVE, b""))
        with pytest.raises(NotFound):
            store.commit([PutMapping(Mapping(name, "alice", "A")), fails], UNGUARDED)
        assert store.mapping(name, "alice") is None

    def test_a_write_of_another_epoch_is_fenced(self, store: MappingStore, name: str) -> None:
        with pytest.raises(Fenced):
            store.commit([PutMapping(Mapping(name, "alice", "A"))], Guard(epoch=store.epoch() + 1000))
        assert store.mapping(name, "alice") is None

    def test_a_write_under_a_version_that_is_not_active_is_stale(self, store: MappingStore, name: str) -> None:
        with pytest.raises(StaleVersion):
            store.commit(
                [PutMapping(Mapping(name, "alice", "A"))], Guard(active_version=VersionId(NEVER_ACTIVE, "0" * 16))
            )
        assert store.mapping(name, "alice") is None

    def test_of_two_who_change_a_row_one_is_told(self, store: MappingStore, name: str, open_store: OpenStore) -> None:
        store.commit([PutMapping(Mapping(name, "alice", "0"))], UNGUARDED)
        first = store.mapping(name, "alice")
        assert first is not None
        open_store().commit([PutMapping(replace(first, external_user="1"))], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([PutMapping(replace(first, external_user="2"))], UNGUARDED)

    def test_writers_at_once_lose_nothing(self, store: MappingStore, name: str, open_store: OpenStore) -> None:
        store.commit([PutMapping(Mapping(name, "alice", "0"))], UNGUARDED)

        def count_up(own: MappingStore) -> None:
            left = ROUNDS
            while left:
                row = own.mapping(name, "alice")
                assert row is not None
                try:
                    own.commit([PutMapping(replace(row, external_user=str(int(row.external_user) + 1)))], UNGUARDED)
                except Conflict:
                    continue
                left -= 1

        stores = [open_store() for _ in range(WRITERS)]
        at_once([lambda own=own: count_up(own) for own in stores])  # type: ignore[misc]
        row = store.mapping(name, "alice")
        assert row is not None
        assert row.external_user == str(WRITERS * ROUNDS)

    @pytest.mark.usefixtures("free")
    def test_a_credential_comes_back_exactly(self, store: MappingStore, name: str) -> None:
        content = bytes(range(256)) * 256
        put = PutCredential(EncryptedCredential(name, "alice", 1, content))
        store.commit([PutMapping(Mapping(name, "alice", "A")), put], UNGUARDED)
        found = store.credential(name, "alice")
        assert found is not None
        assert (found.version, found.ciphertext) == (1, content)

    @pytest.mark.usefixtures("free")
    def test_reencrypt_leaves_alone_what_changed_meanwhile(self, store: MappingStore, name: str) -> None:
        for user in ("alice", "bob"):
            put = PutCredential(EncryptedCredential(name, user, 1, b"old"))
            store.commit([PutMapping(Mapping(name, user, "A")), put], UNGUARDED)
        read = [credential for credential in store.credentials(under=1) if credential.application == name]
        store.commit([PutCredential(replace(read[1], ciphertext=b"own"))], UNGUARDED)
        store.commit([Reencrypt([replace(each, version=2, ciphertext=b"new") for each in read])], UNGUARDED)
        found = [store.credential(name, user) for user in ("alice", "bob")]
        assert [(each.version, each.ciphertext) for each in found if each] == [(2, b"new"), (1, b"own")]
