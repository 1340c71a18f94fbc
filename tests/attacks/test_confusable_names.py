"""Someone whose name looks like another's, or folds to it, asks an agent for what is the other's."""

from __future__ import annotations

import contextlib
from collections import abc
from pathlib import Path

import pytest
from systems import SYSTEM_ID, System
from web_servers import enrolled, serving_agent

from keysvc.crypto import certificates
from keysvc.errors import AccessDenied, InvalidInput
from keysvc.model import Identity, Role, utc_now
from keysvc.plugin.changes import UNGUARDED, PutIdentity
from keysvc.sso import SSO
from keysvc.web.agent.client import AgentClient
from keysvc.web.tls.identity_files import IdentityFiles

OF_ANOTHER = [
    ("weiß", "weiss"),
    ("kai", "\u212aai"),  # the Kelvin sign
    ("sam", "\u017fam"),  # the long s
    ("finn", "\ufb01nn"),  # a ligature
    ("åsa", "\u212bsa"),  # the sign of the Ångström
    ("iris", "\u0130ris"),  # the Turkish capital
]
"""Whose credential it is, and who asks."""


def enrolled_long_ago(system: System, name: str, folder: Path) -> IdentityFiles:
    """Past the check of new names: an older release let it in."""
    request, private = certificates.request("anybody")
    issued = certificates.sign_request(system.authority, request, name, Role.USER, now=utc_now(), system_id=SYSTEM_ID)
    identity = Identity(name, Role.USER, certificates.serial(issued), utc_now())
    system.store().commit([PutIdentity(identity)], UNGUARDED)
    files = IdentityFiles(folder / "identity-of-the-attacker")
    files.write(issued, private, system.authority.certificate)
    return files


@contextlib.contextmanager
def asking(system: System, sso: SSO, attacker: str, folder: Path) -> abc.Iterator[AgentClient]:
    """The agent as the attacker reaches it."""
    files = enrolled_long_ago(system, attacker, folder)
    with serving_agent(system, sso, folder) as served:
        client = AgentClient(served.url, files, SYSTEM_ID)
        try:
            yield client
        finally:
            client.close()


@pytest.mark.parametrize(("owner", "attacker"), OF_ANOTHER)
def test_a_name_that_folds_to_anothers_gets_nothing_of_his(
    system: System, tmp_path: Path, owner: str, attacker: str
) -> None:
    system.with_users(owner)
    system.administration().change_application("SAP", user_accounts=[owner])
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", {"password": "geheim"}, user=owner)
    with asking(system, sso, attacker, tmp_path) as client:
        with pytest.raises(AccessDenied):
            client.credential("SAP", user=owner)
        with pytest.raises(AccessDenied):
            client.set_credential("SAP", {"password": "mine"}, user=owner)
        with pytest.raises(AccessDenied):
            client.delete_credential("SAP", user=owner)


@pytest.mark.parametrize(("owner", "attacker"), OF_ANOTHER)
def test_a_name_that_folds_to_an_administrators_is_no_administrator(
    system: System, tmp_path: Path, owner: str, attacker: str
) -> None:
    system.with_users("anna")
    administration = system.administration()
    administration.change_application("SAP", administrator_accounts=[owner])
    administration.name_system_administrators(administrators=[owner])
    system.start()
    with asking(system, system.sso()[0], attacker, tmp_path) as client, pytest.raises(AccessDenied):
        client.administration.set_mapping("SAP", "mallory", "MALLORY")


def test_two_names_that_differ_by_case_alone_are_not_both_enrolled(system: System, tmp_path: Path) -> None:
    system.start()
    enrolled(system, "weiß", Role.USER, tmp_path)
    enrolled(system, "weiss", Role.USER, tmp_path)  # somebody else
    for name in ("WEIß", "Weiss", "\u212aai", "we\u200biss"):
        with pytest.raises(InvalidInput):
            enrolled(system, name, Role.USER, tmp_path)
