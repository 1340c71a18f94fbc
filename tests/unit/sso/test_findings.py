"""What a person looks for among very many rows, and what it is shown of a credential."""

from __future__ import annotations

import pytest
from systems import System, eventually

from keysvc.errors import InvalidInput, NotFound, RateLimited, SystemDisabled
from keysvc.master.switch import switch_system
from keysvc.model import AuditTrail, Mapping, Role
from keysvc.plugin.changes import UNGUARDED, PutMapping
from keysvc.sso import SSO
from keysvc.sso.performer import OWN_BURST
from keysvc.sso.permissions import Principal
from keysvc.sso.requests import audit, mapping_search
from keysvc.sso.requests.audit import ReadAudit
from keysvc.sso.requests.mapping_search import SearchMappings
from keysvc.sso.requests.reveals import REVEALED, GetCredentialState, RevealField
from keysvc.sso.requests.settings import ChangeSettings


def with_rows(system: System, count: int) -> None:
    system.with_users()
    rows = [PutMapping(Mapping("SAP", f"u{n:05}", f"E{n % 7}", enabled=n % 3 == 0)) for n in range(count)]
    for start in range(0, count, 500):
        system.store().commit(rows[start : start + 500], UNGUARDED)


def walked(system: System, **wanted: object) -> tuple[list[str], int]:
    administration, after, users, pages = system.administration(), "", [], 0
    while True:
        found = administration.perform(SearchMappings("SAP", after=after, **wanted))
        users += [mapping.user for mapping in found.items]
        pages += 1
        if found.next is None:
            return users, pages
        after = found.next


def test_a_search_finds_every_mapping_once_whatever_it_is_narrowed_by(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping_search, "MAXIMUM_LOOKED_AT", 300)
    with_rows(system, 2000)
    everything = [f"u{n:05}" for n in range(2000)]
    assert walked(system, limit=150)[0] == everything
    assert walked(system, limit=100, prefix="u01")[0] == everything[1000:2000]
    assert walked(system, prefix="u00007") == (["u00007"], 1)
    assert walked(system, limit=90, enabled=True)[0] == everything[::3]
    assert walked(system, limit=20, external_user="E3", enabled=False)[0] == [
        f"u{n:05}" for n in range(2000) if n % 7 == 3 and n % 3
    ]
    assert walked(system, prefix="nobody") == ([], 1)


def test_a_page_that_finds_little_is_cut_and_says_where_to_go_on(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping_search, "MAXIMUM_LOOKED_AT", 300)
    with_rows(system, 1000)
    system.store().commit(
        [PutMapping(Mapping("SAP", f"u{n:05}", "E", enabled=False, revision=1)) for n in range(0, 999, 3)], UNGUARDED
    )
    found = system.administration().perform(SearchMappings("SAP", enabled=True))
    assert found.items == ()
    assert found.next == "u00299"


def test_the_python_call_walks_every_page_of_a_search_even_an_empty_one(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping_search, "MAXIMUM_LOOKED_AT", 300)
    with_rows(system, 1000)
    find = system.administration().find_mappings
    assert [found.user for found in find("SAP", prefix="u009", external_user="E5", enabled=True)] == [
        f"u{n:05}" for n in range(900, 1000) if n % 7 == 5 and n % 3 == 0
    ]
    assert len(list(find("SAP"))) == 1000
    system.store().commit(
        [PutMapping(Mapping("SAP", f"u{n:05}", "E", enabled=False, revision=1)) for n in range(0, 999, 3)], UNGUARDED
    )
    assert [found.user for found in find("SAP", enabled=True)] == ["u00999"]


def test_the_audit_is_read_backwards_and_onwards_and_narrowed(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAXIMUM_LOOKED_AT", 40)
    administration = system.administration()
    system.with_users(*(f"u{n:03}" for n in range(100)))
    seen, before = [], None
    while True:
        page = administration.perform(ReadAudit(before=before, limit=30))
        seen += page.entries
        if page.next is None:
            break
        before = page.next
    numbers = [entry.sequence for entry in seen]
    assert numbers == list(range(page.newest, 0, -1))
    onwards = administration.perform(ReadAudit(after=page.newest - 5, limit=3))
    assert [entry.sequence for entry in onwards.entries] == [page.newest - 4, page.newest - 3, page.newest - 2]
    assert onwards.next == page.newest - 2
    narrowed = administration.perform(ReadAudit(subject="SAP: U09", action="mapping"))
    assert [entry.subject for entry in narrowed.entries] == [f"SAP: u09{n}" for n in range(9, -1, -1)]
    assert administration.perform(ReadAudit(trail=AuditTrail.DELETED_MAPPINGS)).entries == ()


def test_one_field_is_revealed_and_the_audit_always_says_to_whom(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    assert sso.perform(GetCredentialState("SAP", "anna")).stored is False
    with pytest.raises(NotFound):
        sso.perform(RevealField("SAP", "anna", "Password"))
    sso.set_credential("SAP", {"Password": "geheim"}, user="anna")
    state = sso.perform(GetCredentialState("SAP", "anna"))
    assert (state.stored, state.version) == (True, 1)
    with pytest.raises(NotFound, match="it has: Password"):
        sso.perform(RevealField("SAP", "anna", "PIN"))
    revealed = sso.perform(RevealField("SAP", "anna", "Password"))
    assert revealed.value.reveal() == "geheim"
    assert "geheim" not in repr(revealed)
    entries = [entry for entry in system.store().audit(AuditTrail.MEMBERS) if entry.action == REVEALED]
    assert [(entry.actor, entry.detail["user"], entry.detail["field"]) for entry in entries] == [
        ("web-01", "anna", "Password")
    ]
    switch_system(system.store(), "administrator", enabled=False)
    eventually(lambda: is_refused(sso))


def test_a_user_is_shown_its_own_no_oftener_than_it_may_change_it(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", {"Password": "geheim"}, user="anna")
    anna = Principal("anna", Role.USER)
    for _ in range(OWN_BURST):
        sso.perform(RevealField("SAP", "anna", "Password"), as_=anna)
    with pytest.raises(RateLimited):
        sso.perform(RevealField("SAP", "anna", "Password"), as_=anna)
    sso.perform(RevealField("SAP", "anna", "Password"))


def is_refused(sso: SSO) -> bool:
    try:
        sso.perform(RevealField("SAP", "anna", "Password"))
    except SystemDisabled:
        return True
    return False


def test_settings_are_changed_and_the_audit_says_which(system: System) -> None:
    administration = system.administration()
    settings = administration.perform(ChangeSettings(ticket_timeout_minutes=7, audit_changes=0))
    assert (settings.ticket_timeout_minutes, settings.audit_changes, settings.credential_cache_minutes) == (7, 0, 60)
    assert system.store().audit()[-1].detail == {"changed": "ticket_timeout_minutes, audit_changes"}
    administration.perform(ChangeSettings(ticket_timeout_minutes=7))
    assert len([entry for entry in system.store().audit() if entry.action == "settings.changed"]) == 1
    with pytest.raises(InvalidInput):
        administration.audit_levels(9, None)
