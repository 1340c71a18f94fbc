"""Names are compared by their keys, in look-ups, in memory, in tickets and in what is stored; and the mapping store's
columns of keys are never believed."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from systems import SYSTEM_ID, System, configured

from keysvc.errors import AccessDenied, Conflict, InvalidInput, MappingStoreError, NotFound
from keysvc.master.switch import fold_names
from keysvc.model import Field, Flags, NameRule, Role
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.plugin.interfaces import LookedUp, MappingStore
from keysvc.sso import SSO
from keysvc.sso.credential_files import prepared, read_lines
from keysvc.sso.permissions import Principal
from keysvc.sso.requests.credentials import LookUpCredential

COMPOSED, DECOMPOSED = "m\u00fcller", "mu\u0308ller"
ALLOWED = Flags(enabled=True, allow_tickets=True)


def with_rule(system: System, rule: NameRule) -> None:
    store = system.store()
    record = store.system()
    assert record is not None
    store.commit([PutSystem(replace(record, settings=replace(record.settings, names=rule)))], UNGUARDED)


def served(system: System) -> SSO:
    fields = [Field("User", masked=False), Field("Password", masked=True)]
    system.administration().create_application("SAP", fields, flags=ALLOWED)
    system.start()
    return system.sso()[0]


@pytest.fixture
def folded(system: System) -> SSO:
    return served(system)


@pytest.fixture
def exact(system: System) -> SSO:
    with_rule(system, NameRule.EXACT)
    return served(system)


def password(sso: SSO, user: str, application: str = "SAP", *, fresh: bool = False) -> str:
    return sso.credential(application, user=user, fresh=fresh)["password"].reveal()


def test_a_system_that_is_made_has_folded_names(system: System) -> None:
    assert system.store().system().settings.names is NameRule.FOLDED  # type: ignore[union-attr]


def test_where_names_are_folded_every_spelling_is_one_user(folded: SSO, system: System) -> None:
    folded.set_credential("SAP", user="NORDWIND\\Anna", external_user="A", password="first")
    folded.set_credential("sap", user="nordwind\\ANNA", password="second")
    for user in ("NORDWIND\\Anna", "nordwind\\anna", "NORDWIND\\ANNA"):
        assert password(folded, user, "Sap") == password(folded, user, fresh=True) == "second"
    administration = system.administration()
    administration.set_mapping("sap", "nordwind\\anna", "B")
    assert [(each.user, each.external_user) for each in administration.mappings("SAP")] == [("NORDWIND\\Anna", "B")]
    with pytest.raises(Conflict, match="the application SAP exists"):
        administration.create_application("sap", [Field("User", masked=False)])
    administration.enable_mapping("sap", "nordwind\\anna", False)
    folded.delete_credential("sap", user="nordwind\\anna")
    administration.delete_mapping("sap", "nordwind\\anna")
    administration.delete_application("sap")
    assert not system.store().applications()


def test_what_is_in_memory_is_forgotten_under_every_spelling(folded: SSO) -> None:
    folded.set_credential("SAP", user="anna", external_user="A", password="first")
    assert password(folded, "ANNA") == "first"
    folded.set_credential("SAP", user="Anna", password="second")
    assert password(folded, "ANNA") == "second"
    assert folded.purge_cache("sap") == 1


def test_the_forms_of_a_letter_are_one_name_by_either_rule(exact: SSO) -> None:
    exact.set_credential("SAP", user=COMPOSED, external_user="M", password="first")
    exact.set_credential("SAP", user=DECOMPOSED, password="second")
    assert password(exact, COMPOSED) == password(exact, DECOMPOSED, fresh=True) == "second"


def test_where_names_are_exact_case_tells_users_apart_and_a_near_miss_is_named(exact: SSO) -> None:
    exact.set_credential("SAP", user="anna", external_user="A", password="small")
    with pytest.raises(NotFound, match="ANNA has no mapping for SAP: anna exists"):
        password(exact, "ANNA")
    with pytest.raises(NotFound, match="there is no application Sap: SAP exists"):
        password(exact, "anna", "Sap")
    exact.set_credential("SAP", user="ANNA", external_user="B", password="large")
    assert (password(exact, "anna"), password(exact, "ANNA")) == ("small", "large")


def test_a_ticket_is_of_its_user_however_the_sender_is_spelled(folded: SSO) -> None:
    folded.set_credential("SAP", user="anna", external_user="A", password="secret")
    ticket = folded.ticket(user="Anna")
    assert folded.redeem("sap", ticket.text, sender="ANNA")["password"].reveal() == "secret"
    with pytest.raises(AccessDenied, match="the ticket is not of bert"):
        folded.redeem("SAP", folded.ticket(user="anna").text, sender="bert")


def test_a_user_looks_up_its_own_under_the_spelling_of_the_certificate(folded: SSO) -> None:
    folded.set_credential("SAP", user="Anna", external_user="A", password="secret")
    for name in ("anna", "Anna"):
        found = folded.perform(LookUpCredential("SAP", name), as_=Principal(name, Role.USER))
        assert found["password"].reveal() == "secret"


@pytest.mark.parametrize("many", [2, 300])
def test_an_import_changes_the_user_that_is_there(folded: SSO, many: int) -> None:
    def load(user: str, value: str) -> tuple[int, int]:
        rows = "".join(f"sap,{user}-{n:03},A,{value}\n" for n in range(many))
        content = f"application,user,external_user,Password\n{rows}".encode()
        (done,) = folded.store_credentials(
            "SAP", prepared(read_lines(content, "x"), "x", folded.application, folded.names)["SAP"]
        )
        return done.created, done.updated

    assert load("anna", "first") == (many, 0)
    assert load("ANNA", "second") == (0, many)
    assert password(folded, "Anna-001") == "second"
    twins = b"application,user,external_user,Password\nSAP,bert,B,x\nSAP,BERT,B,x\n"
    with pytest.raises(InvalidInput, match="line 3: the same application and user are on line 2"):
        prepared(read_lines(twins, "x"), "x", folded.application, folded.names)


def test_names_are_folded_later_only_without_twins(exact: SSO, system: System) -> None:
    exact.set_credential("SAP", user="anna", external_user="A", password="small")
    exact.set_credential("SAP", user="ANNA", external_user="B", password="large")
    store = system.store()
    assert fold_names(store, "administrator") == ["users of SAP: ANNA, anna"]
    assert store.system().settings.names is NameRule.EXACT  # type: ignore[union-attr]
    system.administration().delete_mapping("SAP", "ANNA")
    assert fold_names(store, "administrator") == []
    assert store.audit()[-1].action == "system.names-folded"
    assert password(system.sso("web-02")[0], "ANNA") == "small"


# -- what an edited database cannot do -----------------------------------------------------------------------------


def edit(system: System, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(system.folder / "keysvc.db")) as raw, raw:
        assert raw.execute(statement).rowcount == 1
    raw.close()


def test_an_edited_key_gives_nobody_the_credential_of_another(folded: SSO, system: System) -> None:
    folded.set_credential("SAP", user="anna", external_user="A", password="hers")
    edit(system, "UPDATE mappings SET user_key = 'mallory' WHERE user = 'anna'")
    edit(system, "UPDATE applications SET name_key = 'other' WHERE name = 'SAP'")
    for application, user in (("SAP", "mallory"), ("other", "anna"), ("sap", "Mallory")):
        with pytest.raises(NotFound):
            password(folded, user, application, fresh=True)
    assert password(folded, "anna", fresh=True) == "hers"


class Answers:
    """A mapping store that answers every look-up with the rows of one user."""

    def __init__(self, store: MappingStore, answer: LookedUp) -> None:
        self._store, self._answer = store, answer

    def look_up(self, _application: str, _user: str) -> LookedUp:
        return self._answer

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


def test_a_store_that_answers_with_other_rows_is_refused_before_anything_is_decrypted(tmp_path: Path) -> None:
    system = configured(tmp_path, SYSTEM_ID)
    try:
        sso = served(system)
        for user in ("anna", "bert"):
            sso.set_credential("SAP", user=user, external_user=user, password=user)
        anna, bert = (system.store().look_up("SAP", user) for user in ("anna", "bert"))
        assert anna is not None
        assert bert is not None
        for answer in (anna, (anna[0], bert[1], anna[2]), (anna[0], anna[1], bert[2])):
            lying, _ = system.sso("web-02", Answers(system.store(), answer))  # type: ignore[arg-type]
            with pytest.raises(MappingStoreError, match="row of another name"):
                password(lying, "bert")
    finally:
        system.close()
