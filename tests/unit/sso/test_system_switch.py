"""A system that is disabled gives nothing out and changes nothing, wherever one asks; its master secret is kept."""

from __future__ import annotations

from collections import abc

import pytest
from systems import System, eventually

from keysvc.entsso.importing import SourceFile, import_files
from keysvc.errors import SystemDisabled
from keysvc.master.switch import switch_system
from keysvc.model import ApplicationType, AuditTrail, Field, Flags
from keysvc.sso import SSO

FIELDS = [Field("Name", masked=False), Field("Password", masked=True)]


@pytest.fixture
def sso(system: System) -> SSO:
    system.with_users("anna")
    administration = system.administration()
    administration.change_application("SAP", flags={"allow_tickets": True, "host_initiated": True})
    administration.create_application("BAGS", FIELDS, type_=ApplicationType.CONFIG_STORE, flags=Flags(enabled=True))
    system.start()
    server, _ = system.sso()
    server.set_credential("SAP", user="anna", password="geheim")
    server.set_config_info("BAGS", {"Password": "x"}, name="ftp")
    server.credential("SAP", user="anna")
    return server


def disabled(sso: SSO) -> bool:
    try:
        sso.credential("SAP", user="anna")
    except SystemDisabled:
        return True
    return False


def test_every_lookup_and_every_write_is_refused_until_it_is_enabled_again(sso: SSO, system: System) -> None:
    ticket = sso.ticket(user="anna").text
    switch_system(system.store(), "administrator", enabled=False)
    eventually(lambda: disabled(sso))  # within one poll interval, although anna's credential is in memory
    administration = system.administration()
    refused: abc.Sequence[abc.Callable[[], object]] = [
        lambda: sso.credential("SAP", user="anna", fresh=True),
        lambda: sso.lookup("SAP", external_user="ANNA", password="geheim"),
        lambda: sso.set_credential("SAP", user="anna", password="new"),
        lambda: sso.delete_credential("SAP", user="anna"),
        lambda: sso.ticket(user="anna"),
        lambda: sso.redeem("SAP", ticket, sender="anna"),
        lambda: sso.get_config_info("BAGS", name="ftp"),
        lambda: sso.set_config_info("BAGS", {"Password": "y"}, name="ftp"),
        lambda: sso.delete_config_info("BAGS", name="ftp"),
        lambda: administration.create_application("NEW", FIELDS),
        lambda: administration.change_application("SAP", contact="x"),
        lambda: administration.enable_application("SAP", enabled=False),
        lambda: administration.delete_application("SAP"),
        lambda: administration.set_mapping("SAP", "bert", "BERT"),
        lambda: administration.enable_mapping("SAP", "anna", enabled=False),
        lambda: administration.enable_all_mappings("SAP", enabled=False),
        lambda: administration.delete_mapping("SAP", "anna"),
        lambda: import_files(administration.store, [SourceFile("x", IMPORT)], actor="anna"),
    ]
    for number, call in enumerate(refused):
        with pytest.raises(SystemDisabled, match="the system is disabled") as caught:
            call()
        assert "keysvc system enable" in caught.value.hint, number
    switch_system(system.store(), "administrator", enabled=True)
    eventually(lambda: not disabled(sso))
    assert sso.redeem("SAP", ticket, sender="anna")["password"].reveal() == "geheim"
    assert sso.get_config_info("BAGS", name="ftp")["Password"].reveal() == "x"


IMPORT = b'<sso><application name="X"><field ordinal="0" label="U"/></application></sso>'


def test_a_disabled_system_is_kept_and_rotated(sso: SSO, system: System) -> None:
    switch_system(system.store(), "administrator", enabled=False)
    assert system.master is not None
    system.master.rotate("administrator")
    eventually(lambda: system.store().rows_by_version() == {2: 2})


def test_it_is_audited_told_of_and_repeatable(system: System) -> None:
    for enabled in (False, False, True, True):
        switch_system(system.store(), "administrator", enabled=enabled)
    actions = [entry.action for entry in system.store().audit(AuditTrail.CHANGES)]
    assert actions[-2:] == ["system.disabled", "system.enabled"]
    kinds = [event.kind for event in system.store().events(100)]
    assert kinds[-2:] == ["system.disabled", "system.enabled"]


def test_a_refusal_is_audited_as_any_other(sso: SSO, system: System) -> None:
    switch_system(system.store(), "administrator", enabled=False)
    eventually(lambda: disabled(sso))
    assert system.store().audit(AuditTrail.LOOKUPS)[-1].result == "system-disabled"


def test_the_level_of_the_audit_may_be_raised_meanwhile(system: System) -> None:
    switch_system(system.store(), "administrator", enabled=False)
    assert system.administration().audit_levels(3, 3).audit_positive_level == 3
