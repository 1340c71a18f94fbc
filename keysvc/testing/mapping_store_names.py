"""The part of the conformance suite of mapping stores that is about the keys of names."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from keysvc.errors import Conflict
from keysvc.model import Identity, Mapping, NameRule, Role, Settings, SystemRecord, names
from keysvc.plugin.changes import UNGUARDED, Change, DeleteMapping, PutApplication, PutIdentity, PutMapping, PutSystem
from keysvc.plugin.interfaces import MappingStore
from keysvc.testing.mapping_store_races import at_once
from keysvc.testing.mapping_store_samples import AT, OpenStore, an_application

COMPOSED, DECOMPOSED = "m\u00fcller", "mu\u0308ller"
FOLDED = SystemRecord("5" * 32, AT, Settings(names=NameRule.FOLDED))
EXACT = replace(FOLDED, settings=Settings(names=NameRule.EXACT))
ROUNDS = 10


def mapped(*users: str) -> list[Change]:
    """A new mapping of each user in SAP."""
    return [PutMapping(Mapping("SAP", user, "X")) for user in users]


class MappingStoreNames:
    """Part of `MappingStoreConformance`."""

    def test_names_are_found_by_their_folded_key(self, store: MappingStore) -> None:
        store.commit([PutSystem(EXACT), PutApplication(an_application("Sap"))], UNGUARDED)
        store.commit([*mapped("anna", "ANNA", COMPOSED, DECOMPOSED.upper(), "bert")], UNGUARDED)
        store.commit([PutMapping(Mapping("Sap", "Anna", "X"))], UNGUARDED)
        assert sorted(store.spellings({"sap"})) == ["SAP", "Sap"]
        assert sorted(store.spellings({"anna"}, "SAP")) == ["ANNA", "anna"]
        assert list(store.spellings({"anna"}, "Sap")) == ["Anna"]
        both = store.spellings({names.key(COMPOSED), "bert", "nobody"}, "SAP")
        assert sorted(both) == sorted([COMPOSED, DECOMPOSED.upper(), "bert"])
        assert list(store.spellings(set())) == list(store.spellings({"ANNA"}, "SAP")) == []

    def test_a_changed_row_keeps_its_key_and_a_deleted_one_has_none(self, store: MappingStore) -> None:
        store.commit([PutSystem(FOLDED), *mapped("Anna", "Bert")], UNGUARDED)
        (anna, bert) = store.mappings("SAP")
        store.commit([PutMapping(replace(anna, external_user="Y")), DeleteMapping("SAP", bert.user)], UNGUARDED)
        assert list(store.spellings({"anna", "bert"}, "SAP")) == ["Anna"]
        store.commit(mapped("bert"), UNGUARDED)
        assert sorted(store.spellings({"anna", "bert"}, "SAP")) == ["Anna", "bert"]

    @pytest.mark.parametrize("twin", ["ANNA", "Anna"])
    def test_folded_names_are_unique_among_applications_mappings_and_identities(
        self, store: MappingStore, twin: str
    ) -> None:
        anna = Identity("anna", Role.USER, "0a", AT)
        first = [PutApplication(an_application("anna")), *mapped("anna"), PutIdentity(anna)]
        store.commit([PutSystem(FOLDED), *first], UNGUARDED)
        twins: list[Change] = [
            PutApplication(an_application(twin)),
            *mapped(twin),
            PutIdentity(replace(anna, name=twin)),
        ]
        for change in twins:
            with pytest.raises(Conflict):
                store.commit([*mapped("bert"), change], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit(mapped(*(f"user-{n}" for n in range(50)), twin), UNGUARDED)
        with pytest.raises(Conflict):
            store.commit(mapped(COMPOSED, DECOMPOSED), UNGUARDED)
        assert [mapping.user for mapping in store.mappings("SAP")] == ["anna"]
        store.commit([PutMapping(Mapping("anna", twin, "X"))], UNGUARDED)

    def test_exact_names_may_differ_in_case_alone(self, store: MappingStore) -> None:
        store.commit([PutSystem(EXACT), *mapped("anna", "ANNA")], UNGUARDED)
        store.commit([PutApplication(an_application("Sap")), *mapped("Anna")], UNGUARDED)
        assert [mapping.user for mapping in store.mappings("SAP")] == ["ANNA", "Anna", "anna"]

    def test_names_become_folded_only_without_twins(self, store: MappingStore) -> None:
        store.commit([PutSystem(EXACT), *mapped("anna", "ANNA")], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit([PutSystem(FOLDED, instead_of=EXACT.settings)], UNGUARDED)
        assert store.system() == EXACT
        store.commit([DeleteMapping("SAP", "ANNA")], UNGUARDED)
        store.commit([PutSystem(FOLDED, instead_of=EXACT.settings)], UNGUARDED)
        with pytest.raises(Conflict):
            store.commit(mapped("ANNA"), UNGUARDED)

    def test_of_two_who_add_twins_at_once_one_wins(self, store: MappingStore, open_store: OpenStore) -> None:
        store.commit([PutSystem(FOLDED)], UNGUARDED)
        other = open_store()
        try:
            for n in range(ROUNDS):
                both = (store, f"anna-{n}"), (other, f"ANNA-{n}")
                assert sorted(map(bool, at_once([functools.partial(_won, *each) for each in both]))) == [False, True]
        finally:
            other.close()


def _won(store: MappingStore, user: str) -> bool:
    try:
        store.commit(mapped(user), UNGUARDED)
    except Conflict:
        return False
    return True
