"""Property bags of the config store."""

from __future__ import annotations

import pytest
from systems import System

from keysvc.errors import AccessDenied, InvalidInput, NotFound
from keysvc.model import ApplicationType, Field
from keysvc.sso import SSO


@pytest.fixture
def sso(system: System) -> SSO:
    system.with_users("anna")
    fields = [Field("Id", masked=False), Field("Host", masked=False), Field("Password", masked=True)]
    administration = system.administration()
    administration.create_application("Adapters", fields, type_=ApplicationType.CONFIG_STORE)
    administration.enable_application("Adapters", enabled=True)
    system.start()
    return system.sso()[0]


def test_a_bag_is_stored_read_replaced_and_deleted(sso: SSO, system: System) -> None:
    assert sso.set_config_info("Adapters", {"host": "ftp", "Password": "geheim"}, name="ftp") == 1
    found = system.sso("web-02")[0].get_config_info("Adapters", name="ftp")
    assert {label: value.reveal() for label, value in found.items()} == {"Host": "ftp", "Password": "geheim"}
    sso.set_config_info("Adapters", {"Host": "sftp"}, name="ftp")
    assert set(sso.get_config_info("Adapters", name="ftp")) == {"Host"}
    sso.delete_config_info("Adapters", name="ftp")
    with pytest.raises(NotFound):
        sso.get_config_info("Adapters", name="ftp")
    with pytest.raises(NotFound, match="no property bag"):
        sso.delete_config_info("Adapters", name="ftp")
    assert system.store().mapping("Adapters", "ftp") is None


def test_a_bag_is_encrypted_as_a_credential_is(sso: SSO, system: System) -> None:
    sso.set_config_info("Adapters", {"Password": "geheim"}, name="ftp")
    row = system.store().credential("Adapters", "ftp")
    assert row is not None
    assert b"geheim" not in row.ciphertext
    assert "geheim" not in repr(sso.get_config_info("Adapters", name="ftp"))


def test_only_the_properties_that_are_defined_are_taken(sso: SSO) -> None:
    with pytest.raises(InvalidInput, match="no field 'Port'"):
        sso.set_config_info("Adapters", {"Port": "22"}, name="ftp")


def test_bags_and_credentials_of_users_do_not_mix(sso: SSO) -> None:
    for wrong in (
        lambda: sso.set_config_info("SAP", {"Password": "x"}, name="anna"),
        lambda: sso.get_config_info("SAP", name="anna"),
        lambda: sso.delete_config_info("SAP", name="anna"),
        lambda: sso.set_credential("Adapters", user="anna", external_user="A", password="x"),
    ):
        with pytest.raises(InvalidInput):
            wrong()


def test_a_disabled_config_store_gives_nothing(sso: SSO, system: System) -> None:
    sso.set_config_info("Adapters", {"Password": "geheim"}, name="ftp")
    system.administration().enable_application("Adapters", enabled=False)
    with pytest.raises(AccessDenied, match="disabled"):
        sso.get_config_info("Adapters", name="ftp")
