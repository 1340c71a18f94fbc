"""A local certificate that no server would accept, in the hands of somebody who has the login to the database."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from attackers import Attacked

from keysvc.crypto import certificates
from keysvc.model import Role, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity
from keysvc.web.tls.identity_files import IdentityFiles

OF_ANOTHER = "9" * 32


def own(attacked: Attacked) -> IdentityFiles:
    return IdentityFiles(attacked.config.resolve(attacked.config.identity))


def self_signed_and_expired(attacked: Attacked) -> None:
    then = utc_now() - timedelta(days=1000)
    authority = certificates.create_authority(OF_ANOTHER, now=then)
    pair = certificates.issue(authority, "administrator", Role.ADMINISTRATOR, now=then)
    own(attacked).write(pair.certificate, pair.key, authority.certificate)


def of_an_authority_of_its_own(attacked: Attacked) -> None:
    authority = certificates.create_authority(attacked.config.system_id, now=utc_now())
    pair = certificates.issue(authority, "administrator", Role.ADMINISTRATOR, now=utc_now())
    files = own(attacked)
    files.write(pair.certificate, pair.key, files.authority())


def without_its_key(attacked: Attacked) -> None:
    files = own(attacked)
    _, key = certificates.request("administrator")
    files.write(files.certificate(), key, files.authority())


def revoked(attacked: Attacked) -> None:
    with attacked.store() as store:
        found = store.identity("administrator")
        assert found is not None
        from dataclasses import replace

        store.commit([PutIdentity(replace(found, revoked_at=utc_now()))], UNGUARDED)


def expired(attacked: Attacked) -> None:
    files = attacked.enrolled("late", Role.ADMINISTRATOR, ends_in=timedelta(seconds=-1))
    shutil.copytree(files.directory, own(attacked).directory, dirs_exist_ok=True)


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (self_signed_and_expired, "not enrolled in this system"),
        (of_an_authority_of_its_own, "own authority"),
        (without_its_key, "not that of the certificate"),
        (revoked, "revoked"),
        (expired, "expired"),
    ],
)
def test_a_command_does_not_act_in_the_name_of_a_certificate_that_a_server_would_refuse(
    attacked: Attacked, forge, why: str
) -> None:
    attacked("role", "set", "affiliate-administrator", "NORDWIND\\before")
    forge(attacked)
    for command in (
        ("role", "set", "sso-administrator", "NORDWIND\\mallory"),
        ("system", "disable"),
        ("app", "create", "Trap"),
    ):
        assert why in attacked(*command, ok=False).err
    with attacked.store() as store:
        system = store.system()
        assert system is not None
        assert (system.settings.administrators, system.settings.enabled) == ("", True)
        assert [entry.action for entry in store.audit()] == ["system.configured", "settings.administrators-named"]
        assert {entry.actor for entry in store.audit()} == {"the store's own rights", "administrator"}
