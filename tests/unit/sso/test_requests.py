"""One request for each operation: authorised, read once, carried out and recorded, whoever asks and by whatever way."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from systems import System

from keysvc.errors import AccessDenied, InvalidInput, NotConfigured, RateLimited, SystemDisabled
from keysvc.master.switch import switch_system
from keysvc.model import AuditTrail, Field, Role, SecretText
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso import SSO
from keysvc.sso.administration import Administration
from keysvc.sso.performer import OWN_BURST
from keysvc.sso.permissions import Principal
from keysvc.sso.requests.applications import ChangeApplication, CreateApplication, DeleteApplication
from keysvc.sso.requests.credentials import DeleteCredential, LookUpCredential, SetCredential
from keysvc.sso.requests.mappings import EnableMapping, SetMapping
from keysvc.sso.requests.request import Request
from keysvc.sso.requests.system import GetStatus, SetAuditLevels

FIELDS = (Field("User Id", masked=False), Field("Password", masked=True))
PASSWORD = {"password": SecretText("geheim")}
BOSS, ANNA, NOBODY = Principal("boss", Role.ADMINISTRATOR), Principal("anna", Role.USER), Principal("nobody", Role.USER)
OTHER_SERVER = Principal("web-02", Role.SERVER)


@dataclass
class Counting:
    """A mapping store that remembers what it was asked."""

    store: MappingStore
    asked: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)

        def method(*arguments: Any, **named: Any) -> Any:
            self.asked.append(name)
            return found(*arguments, **named)

        return method

    def before_the_commit(self) -> list[str]:
        return self.asked[: self.asked.index("commit")]


@pytest.fixture
def store(system: System) -> Counting:
    system.with_users("anna", "bert")
    system.start(poll_interval=timedelta(minutes=10))
    return Counting(system.store())


@pytest.fixture
def sso(system: System, store: Counting) -> SSO:
    sso, _ = system.sso(store=store)
    sso.set_credential("SAP", PASSWORD, user="anna")
    return sso


def recorded(system: System, trail: AuditTrail = AuditTrail.CHANGES) -> list[tuple[str, str]]:
    return [(entry.actor, entry.action) for entry in system.store().audit(trail, limit=1000)]


CHANGES = [
    SetCredential("SAP", "anna", PASSWORD),
    SetCredential("SAP", "anna", PASSWORD, "ANNA-2"),
    SetMapping("SAP", "anna", "ANNA-2"),
    EnableMapping("SAP", "anna", enabled=False),
    DeleteCredential("SAP", "anna"),
]


@pytest.mark.parametrize("caller", [None, BOSS, OTHER_SERVER, ANNA], ids=["itself", "administrator", "server", "own"])
@pytest.mark.parametrize("request_", CHANGES, ids=lambda each: type(each).__name__)
def test_a_change_reads_the_mapping_store_at_most_twice_before_its_one_commit(
    sso: SSO, store: Counting, request_: Request[Any], caller: Principal | None
) -> None:
    store.asked.clear()
    sso.perform(request_, as_=caller)
    assert len(store.before_the_commit()) <= 2
    assert store.asked.count("commit") == 1


@pytest.mark.parametrize(
    ("request_", "caller", "trail", "action"),
    [
        (SetMapping("SAP", "anna", "A"), BOSS, AuditTrail.CHANGES, "mapping.set"),
        (SetMapping("SAP", "anna", "A"), ANNA, AuditTrail.MEMBERS, "mapping.set"),
        (SetCredential("SAP", "anna", PASSWORD), OTHER_SERVER, AuditTrail.MEMBERS, "credential.set"),
        (ChangeApplication("SAP", description="x"), BOSS, AuditTrail.CHANGES, "application.changed"),
        (ChangeApplication("SAP", {"enabled": False}), BOSS, AuditTrail.CHANGES, "application.disabled"),
        (DeleteApplication("SAP"), BOSS, AuditTrail.DELETED_APPLICATIONS, "application.deleted"),
    ],
)
def test_a_change_is_recorded_in_the_name_of_whoever_asked(
    sso: SSO, system: System, request_: Request[Any], caller: Principal, trail: AuditTrail, action: str
) -> None:
    sso.perform(request_, as_=caller)
    assert recorded(system, trail)[-1] == (caller.name, action)


def test_an_application_is_disabled_by_an_action_of_its_own_whatever_else_changes_with_it(
    sso: SSO, system: System
) -> None:
    def last(count: int) -> list[str]:
        return [action for _, action in recorded(system)[-count:]]

    sso.perform(ChangeApplication("SAP", {"enabled": False, "host_initiated": True}, contact="x"), as_=BOSS)
    assert last(2) == ["application.disabled", "application.changed"]
    system.administration().enable_application("SAP", enabled=True)
    assert last(1) == ["application.enabled"]
    sso.perform(ChangeApplication("SAP", {"enabled": True}), as_=BOSS)
    assert last(1) == ["application.enabled"], "nothing changed"


def test_an_embedded_sso_server_may_do_what_its_certificate_may_and_no_more(sso: SSO, system: System) -> None:
    sso.administration.set_mapping("SAP", "carl", "CARL", enable=True)
    sso.administration.change_application("SAP", user_accounts=["anna", "carl"])
    before = recorded(system)
    for forbidden in (
        lambda: sso.administration.create_application("New", FIELDS),
        lambda: sso.administration.enable_application("SAP", enabled=False),
        lambda: sso.administration.delete_application("SAP"),
        lambda: sso.perform(SetAuditLevels(0, 0)),
    ):
        with pytest.raises(AccessDenied, match="web-01 has no role that allows"):
            forbidden()
    assert recorded(system) == before
    assert recorded(system, AuditTrail.LOOKUPS) == [("web-01", "operation.denied")] * 4


def test_whoever_has_no_right_reaches_nothing(sso: SSO, store: Counting) -> None:
    for forbidden in (*CHANGES, LookUpCredential("SAP", "anna"), CreateApplication("New", FIELDS)):
        with pytest.raises(AccessDenied):
            sso.perform(forbidden, as_=NOBODY)
    with pytest.raises(AccessDenied):
        sso.perform(LookUpCredential("SAP", "bert"), as_=ANNA)


def test_whoever_changes_its_own_may_not_do_so_without_end(sso: SSO) -> None:
    def change(times: int) -> None:
        for number in range(times):
            sso.perform(EnableMapping("SAP", "anna", enabled=bool(number % 2)), as_=ANNA)

    change(OWN_BURST)
    with pytest.raises(RateLimited):
        change(OWN_BURST)
    sso.perform(EnableMapping("SAP", "anna", enabled=True), as_=BOSS)


def test_administration_without_a_master_secret_carries_out_what_needs_none(system: System, store: Counting) -> None:
    administration = Administration(store, "boss")
    administration.perform(SetMapping("SAP", "dora", "DORA"))
    with pytest.raises(NotConfigured, match="needs an SSO server"):
        administration.perform(SetCredential("SAP", "anna", PASSWORD))
    with pytest.raises(AccessDenied):
        Administration(store, "web-03", Role.SERVER).delete_application("SAP")


def test_a_disabled_system_refuses_every_change_at_once(sso: SSO, system: System) -> None:
    switch_system(system.store(), "boss", enabled=False)
    for refused in CHANGES:
        with pytest.raises(SystemDisabled):
            sso.perform(refused)


def test_an_unknown_flag_is_refused_whole(sso: SSO, system: System) -> None:
    with pytest.raises(InvalidInput, match="nonsense"):
        sso.perform(ChangeApplication("SAP", {"nonsense": True}, description="x"), as_=BOSS)
    assert system.administration().application("SAP").description == ""


# -- from memory ---------------------------------------------------------------------------------------------------

ASKED = LookUpCredential("SAP", "anna")


@pytest.fixture
def asking(sso: SSO, store: Counting) -> abc.Callable[..., object]:
    """Ask memory, which asks nobody."""

    def ask(request: Request[Any] = ASKED, as_: Principal | None = None) -> object:
        store.asked.clear()
        found = sso.cached(request, as_=as_)
        assert store.asked == []
        return found

    return ask


def test_memory_answers_once_right_settings_and_credential_are_in_it(sso: SSO, asking: Any) -> None:
    for caller in (None, ANNA):
        assert asking(as_=caller) is None
        known = sso.perform(ASKED, as_=caller)
        assert asking(as_=caller) is known
        sso.purge_cache()
    assert asking(GetStatus()) == sso.status()


def test_memory_does_not_answer_for_the_right_of_another(sso: SSO, asking: Any) -> None:
    sso.perform(ASKED)
    assert asking() is not None
    assert asking(as_=ANNA) is None, "it is not known yet whether anna is mapped"
    assert asking(as_=NOBODY) is None
    sso.perform(ASKED, as_=ANNA)
    assert asking(as_=ANNA) is not None


def test_memory_answers_nothing_that_is_asked_for_fresh_and_no_change(sso: SSO, asking: Any) -> None:
    sso.perform(ASKED)
    for request in (LookUpCredential("SAP", "anna", fresh=True), LookUpCredential("SAP", "bert"), *CHANGES):
        assert asking(request) is None


def test_memory_does_not_answer_what_has_to_be_recorded(system: System, store: Counting) -> None:
    system.administration().audit_levels(3, None)
    sso, _ = system.sso(store=store)
    sso.set_credential("SAP", PASSWORD, user="anna")
    sso.perform(ASKED)
    assert sso.cached(ASKED) is None
    sso.perform(ASKED)
    assert recorded(system, AuditTrail.LOOKUPS) == [("web-01", "credential.looked-up")] * 2
