"""Every flag of an application means what docs/reference/entsso-xml.md says. For tickets see test_tickets.py."""

from __future__ import annotations

import platform

import pytest
from systems import System

from keysvc.errors import AccessDenied, InvalidInput, NotFound
from keysvc.model import Field, Flags
from keysvc.sso import SSO

FIELDS = [Field("User Id", masked=False), Field("Terminal", masked=False), Field("Password", masked=True)]


@pytest.fixture
def sso(system: System) -> SSO:
    """Anna is ANNA in SAP, with the password `geheim`."""
    system.with_users("anna")
    system.start()
    server, _ = system.sso()
    server.set_credential("SAP", user="anna", password="geheim")
    return server


def flagged(system: System, name: str = "SAP", **flags: bool) -> None:
    system.administration().change_application(name, flags=flags)


def test_enable_app(sso: SSO, system: System) -> None:
    flagged(system, enabled=False, host_initiated=True)
    with pytest.raises(AccessDenied, match="SAP is disabled"):
        sso.credential("SAP", user="anna", fresh=True)
    with pytest.raises(AccessDenied, match="SAP is disabled"):
        sso.lookup("SAP", external_user="ANNA", password="geheim")
    flagged(system, enabled=True)
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"


def test_a_new_application_and_a_new_mapping_start_disabled(system: System) -> None:
    administration = system.administration()
    assert not administration.create_application("NEW", FIELDS).flags.enabled
    assert not administration.set_mapping("NEW", "anna", "ANNA").enabled


def test_windows_initiated_sso(sso: SSO, system: System) -> None:
    flagged(system, windows_initiated=False, host_initiated=True, allow_tickets=True)
    with pytest.raises(AccessDenied, match="does not allow a look-up by user"):
        sso.credential("SAP", user="anna", fresh=True)
    with pytest.raises(AccessDenied, match="does not allow a look-up by user"):
        sso.redeem("SAP", sso.ticket(user="anna").text, sender="anna")
    assert sso.lookup("SAP", external_user="ANNA", password="geheim").user == "anna"


def test_host_initiated_sso(sso: SSO, system: System) -> None:
    with pytest.raises(AccessDenied, match="does not allow a look-up by external user"):
        sso.lookup("SAP", external_user="ANNA", password="geheim")
    flagged(system, host_initiated=True)
    assert sso.lookup("SAP", external_user="ANNA", password="geheim")["password"].reveal() == "geheim"


def test_validate_password_checks_it_before_anything_is_given(sso: SSO, system: System) -> None:
    flagged(system, host_initiated=True)
    with pytest.raises(AccessDenied, match="checks the password"):
        sso.lookup("SAP", external_user="ANNA")
    administration = system.administration()
    administration.set_mapping("SAP", "bert", "BERT", enable=True)  # has no credential
    administration.set_mapping("SAP", "carl", "CARL")  # disabled
    sso.set_credential("SAP", user="carl", password="geheim")
    for other in ("dora", "dörte"):  # share an external user
        administration.set_mapping("SAP", other, "DORA", enable=True)
    refused = set()
    for external_user, password in [
        ("ANNA", "Geheim"),
        ("ANNA", ""),
        ("BERT", "geheim"),
        ("CARL", "geheim"),
        ("DORA", "geheim"),
        ("NOBODY", "geheim"),
    ]:
        with pytest.raises(AccessDenied) as caught:
            sso.lookup("SAP", external_user=external_user, password=password)
        assert "geheim" not in f"{caught.value} {caught.value.hint}".casefold()
        refused.add((str(caught.value).replace(external_user, "X"), caught.value.hint))
    assert len(refused) == 1, "nothing tells a wrong password from an external user who has none"
    recorded = [entry for entry in system.store().audit("lookups", after=0, limit=100) if "ANNA" in entry.subject]
    assert [entry.result for entry in recorded] == ["access-denied"] * 3


def test_validate_password_off_gives_without_one(sso: SSO, system: System) -> None:
    flagged(system, host_initiated=True, validate_password=False)
    assert sso.lookup("SAP", external_user="ANNA").user == "anna"
    with pytest.raises(NotFound, match="nobody is mapped to NOBODY"):
        sso.lookup("SAP", external_user="NOBODY")


def test_the_password_that_is_validated_is_the_first_masked_field(sso: SSO, system: System) -> None:
    administration = system.administration()
    flags = Flags(enabled=True, host_initiated=True)
    administration.create_application("CICS", [*FIELDS, Field("PassPhrase", masked=True)], flags=flags)
    sso.set_credential("CICS", user="anna", external_user="A", terminal="t", password="first", passphrase="second")
    assert sso.lookup("CICS", external_user="A", password="first")["passphrase"].reveal() == "second"
    for other in ("t", "second"):
        with pytest.raises(AccessDenied):
            sso.lookup("CICS", external_user="A", password=other)
    administration.create_application("OPEN", FIELDS[:2], flags=flags)
    sso.set_credential("OPEN", user="anna", external_user="A", terminal="t")
    with pytest.raises(AccessDenied, match="no masked field"):
        sso.lookup("OPEN", external_user="A", password="t")


@pytest.mark.parametrize("account", [r".\anna", r"BUILTIN\Users", platform.node().partition(".")[0] + r"\anna"])
def test_allow_local_accounts(sso: SSO, system: System, account: str) -> None:
    administration = system.administration()
    with pytest.raises(AccessDenied, match="an account of one machine"):
        administration.set_mapping("SAP", account, "LOCAL", enable=True)
    with pytest.raises(AccessDenied, match="an account of one machine"):
        administration.change_application("SAP", user_accounts=[account])
    administration.change_application("SAP", user_accounts=[account], flags={"allow_local_accounts": True})
    administration.set_mapping("SAP", account, "LOCAL", enable=True)
    sso.set_credential("SAP", user=account, password="x")
    assert sso.credential("SAP", user=account).external_user == "LOCAL"
    administration.change_application("SAP", user_accounts=[], flags={"allow_local_accounts": False})
    with pytest.raises(AccessDenied, match="an account of one machine"):
        sso.credential("SAP", user=account, fresh=True)
    assert sso.credential("SAP", user="anna").user == "anna"


def test_disable_cred_cache_holds_from_the_next_reading_on(sso: SSO, system: System) -> None:
    flagged(system, disable_credential_cache=True)
    sso.credential("SAP", user="anna", fresh=True)
    assert sso.purge_cache() == 0
    flagged(system, disable_credential_cache=False)
    sso.credential("SAP", user="anna")
    assert sso.purge_cache() == 1


def test_direct_password_sync_is_kept_and_changes_nothing(sso: SSO, system: System) -> None:
    flagged(system, direct_password_sync=True)
    assert system.administration().application("SAP").flags.direct_password_sync
    assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "geheim"


def test_what_is_given_changes_and_the_rest_stays(sso: SSO, system: System) -> None:
    administration = system.administration()
    before = administration.application("SAP")
    after = administration.change_application("SAP", contact="sap@example.org", ticket_timeout_minutes=5)
    assert (after.contact, after.ticket_timeout_minutes) == ("sap@example.org", 5)
    assert (after.type, after.fields, after.flags) == (before.type, before.fields, before.flags)
    assert administration.change_application("SAP", ticket_timeout_minutes=0).ticket_timeout_minutes is None
    assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "geheim"
    entry = system.store().audit("changes", after=0, limit=500)[-2]
    assert (entry.action, entry.subject, dict(entry.detail)) == (
        "application.changed",
        "SAP",
        {"changed": "contact, ticket_timeout_minutes"},
    )


def test_whose_administrators_it_has_was_settled_at_its_creation(sso: SSO, system: System) -> None:
    with pytest.raises(InvalidInput, match="adminAccountSame"):
        flagged(system, administrators_same=True)
    flagged(system, administrators_same=False)
