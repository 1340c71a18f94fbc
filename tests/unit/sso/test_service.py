"""What an application gets from an SSO server."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import (
    AccessDenied,
    CannotDecrypt,
    Conflict,
    InvalidInput,
    MasterSecretServerUnavailable,
    NotFound,
    ProtocolError,
)
from keysvc.model import Guard
from keysvc.plugin.changes import PutApplication, PutCredential


def test_a_credential_that_was_set_is_looked_up_by_another_server(system: System) -> None:
    system.with_users("anna")
    system.start()
    system.sso("web-01")[0].set_credential("SAP", user="anna", password="geheim")
    found = system.sso("web-02")[0].credential("SAP", user="anna")
    assert (found.external_user, found["password"].reveal(), found.version) == ("ANNA", "geheim", 1)
    assert found.masked == {"Password"}
    assert "geheim" not in repr(found)


def test_fields_are_named_without_regard_to_case_and_blanks_and_no_other_is_taken(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", {"PASSWORD": "x"}, user="anna")
    with pytest.raises(InvalidInput, match="no field 'pin'"):
        sso.set_credential("SAP", user="anna", pin="1234")
    with pytest.raises(NotFound, match="no field 'pin'"):
        sso.credential("SAP", user="anna")["pin"]


def test_lookups_go_on_while_the_master_is_down_and_encrypting_stops_when_the_permission_ends(system: System) -> None:
    system.with_users("anna")
    system.start(poll_interval=timedelta(seconds=3))  # the permission lasts for six: beyond a pause of a loaded machine
    sso, link = system.sso()
    sso.set_credential("SAP", user="anna", password="geheim")
    link.down = True
    sso.set_credential("SAP", user="anna", password="still permitted")
    eventually(lambda: not sso.status().can_encrypt)
    with pytest.raises(MasterSecretServerUnavailable):
        sso.set_credential("SAP", user="anna", password="refused")
    assert sso.credential("SAP", user="anna")["password"].reveal() == "still permitted"
    link.down = False
    eventually(lambda: sso.status().can_encrypt)
    sso.set_credential("SAP", user="anna", password="again")


def test_a_server_that_starts_while_the_master_is_down_says_so_and_recovers(system: System) -> None:
    system.with_users("anna")
    sso, _ = system.sso()
    with pytest.raises(MasterSecretServerUnavailable):
        sso.set_credential("SAP", user="anna", password="x")
    system.start()
    sso.set_credential("SAP", user="anna", password="x")
    assert sso.credential("SAP", user="anna")["password"].reveal() == "x"


def test_a_row_copied_to_another_user_or_application_does_not_decrypt(system: System) -> None:
    system.with_users("anna", "bert")
    administration = system.administration()
    administration.create_application("OTHER", administration.application("SAP").fields)
    administration.enable_application("OTHER", enabled=True)
    administration.set_mapping("OTHER", "anna", "A", enable=True)
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", user="anna", password="geheim")
    row = system.store().credential("SAP", "anna")
    copies = [replace(row, user="bert", revision=0), replace(row, application="OTHER", revision=0)]
    system.store().commit([PutCredential(copy) for copy in copies], Guard())
    for application, user in (("SAP", "bert"), ("OTHER", "anna")):
        with pytest.raises(CannotDecrypt):
            sso.credential(application, user=user)
    assert sso.credential("SAP", user="anna")["password"].reveal() == "geheim"


def test_what_is_disabled_missing_or_unknown_is_said_with_a_way_out(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    with pytest.raises(NotFound, match="no credential"):
        sso.credential("SAP", user="anna")
    with pytest.raises(NotFound, match="no mapping"):
        sso.credential("SAP", user="nobody")
    with pytest.raises(NotFound, match="no application"):
        sso.credential("SAGE", user="anna")
    sso.set_credential("SAP", user="anna", password="x")
    administration = system.administration()
    administration.enable_mapping("SAP", "anna", enabled=False)
    with pytest.raises(AccessDenied, match="mapping of anna"):
        sso.credential("SAP", user="anna")
    administration.enable_mapping("SAP", "anna", enabled=True)
    administration.enable_application("SAP", enabled=False)
    with pytest.raises(AccessDenied, match="SAP is disabled"):
        sso.credential("SAP", user="anna")


def test_a_lookup_by_external_user_needs_the_flag_and_one_user(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    sso.set_credential("SAP", user="anna", password="x")
    with pytest.raises(AccessDenied):
        sso.lookup("SAP", external_user="ANNA")
    application = system.administration().application("SAP")
    flags = replace(application.flags, host_initiated=True, validate_password=False)
    system.store().commit([PutApplication(replace(application, flags=flags))], Guard())
    assert sso.lookup("SAP", external_user="ANNA").user == "anna"
    system.administration().set_mapping("SAP", "anne", "ANNA", enable=True)
    with pytest.raises(Conflict):
        sso.lookup("SAP", external_user="ANNA")


def test_setting_with_an_external_user_makes_the_mapping(system: System) -> None:
    system.with_users("anna")
    system.start()
    sso, _ = system.sso()
    with pytest.raises(NotFound):
        sso.set_credential("SAP", user="neu", password="x")
    sso.set_credential("SAP", user="neu", external_user="NEU", password="x")
    assert sso.credential("SAP", user="neu").external_user == "NEU"
    sso.set_credential("SAP", user="neu", external_user="NEU2", password="x")
    assert sso.credential("SAP", user="neu").external_user == "NEU2"


def test_an_idle_poll_touches_neither_the_store_nor_the_key_store(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = system.start()
    announcement = master.poll("web-01", "1", (1,))
    used: list[str] = []

    class Watched:
        def __getattr__(self, name: str) -> object:
            used.append(name)
            raise AssertionError(name)

    for name in ("_store",):
        monkeypatch.setattr(master, name, Watched())
    monkeypatch.setattr(master._secrets, "_key_store", Watched())
    assert master.poll("web-01", "1", (1,)).etag == announcement.etag
    assert used == []
    monkeypatch.undo()


def test_an_answer_of_an_older_epoch_or_another_system_is_refused(system: System) -> None:
    system.start()
    sso, link = system.sso()
    held = sso._cache.held()
    answer = sso._cache.announcement
    for wrong in (replace(answer, epoch=0), replace(answer, system_id="6" * 32)):
        link.poll = lambda *_a, wrong=wrong: wrong
        with pytest.raises(ProtocolError):
            sso._poller.poll_now()
    assert sso._cache.held() == held


def test_a_secret_that_is_not_the_announced_one_is_refused(system: System) -> None:
    system.start()
    sso, link = system.sso()
    answer = sso._cache.announcement
    forged = replace(answer.versions[0], version=2)
    link.poll = lambda *_a: replace(answer, epoch=99, versions=(*answer.versions, forged))
    link.fetch = lambda version: type(link).fetch(link, 1)
    with pytest.raises(ProtocolError, match="another secret"):
        sso._poller.poll_now()


def test_a_write_waits_for_the_announcement_of_a_version_that_is_active_already(system: System) -> None:
    system.with_users("anna")
    master = system.start()
    sso, link = system.sso()
    poll, earlier, announced = link.poll, [], threading.Event()

    def late(versions_held, _etag):
        found = poll(versions_held, None)
        if found.active.version == 1:
            earlier.append(found)
        return found if announced.is_set() else earlier[-1]

    link.poll = late
    sso.set_credential("SAP", user="anna", password="a")
    master.rotate("administrator")
    eventually(lambda: [r.state for r in system.store().versions()] == ["retiring", "active"])
    soon = threading.Timer(0.3, announced.set)
    soon.start()
    assert sso.set_credential("SAP", user="anna", password="b") == 2
    soon.join()


def test_a_version_that_became_active_while_the_master_is_away_is_used_as_the_mapping_store_says(
    system: System,
) -> None:
    system.with_users("anna")
    master = system.start(poll_interval=timedelta(seconds=30))
    sso, link = system.sso()
    assert sso.set_credential("SAP", user="anna", password="of version 1") == 1
    master.poll("web-02", "1", (1,))  # keeps version 2 from becoming active
    master.rotate("administrator")
    sso._poller.poll_now()
    assert sso.status().versions_held == (1, 2)
    link.down = True
    master.poll("web-02", "1", (1, 2))
    eventually(lambda: [record.state for record in system.store().versions()] == ["retiring", "active"])
    assert sso.status().active_version == 1
    assert sso.set_credential("SAP", user="anna", password="of version 2") == 2
    assert sso.credential("SAP", user="anna", fresh=True)["password"].reveal() == "of version 2"
