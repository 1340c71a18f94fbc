"""What SSO administrators ask of the master secret server over HTTP, besides versions and certificates."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest
from systems import System, eventually
from web_servers import Served, enrolled, serving_master

from keysvc.errors import AccessDenied, InvalidInput, NotFound, NotifierRefused
from keysvc.master.delivery import Subscription
from keysvc.model import Event, Role
from keysvc.web.master.client import MasterClient
from keysvc.web.master.messages import ImportRequest, ImportSource

SAMPLES = Path(__file__).parents[2] / "samples" / "entsso"


class Refusing:
    """A notifier that refuses every event."""

    def deliver(self, _event: Event) -> None:
        raise NotifierRefused("the receiver knows no such event")

    def close(self) -> None:
        pass


@pytest.fixture
def served(system: System, tmp_path: Path) -> abc.Iterator[Served]:
    system.start(subscriptions=[Subscription("pager", Refusing())])
    with serving_master(system, tmp_path) as made:
        yield made


@pytest.fixture
def boss(served: Served) -> abc.Iterator[MasterClient]:
    """An SSO administrator's client."""
    client = served.master_client()
    yield client
    client.close()


def source(name: str) -> ImportSource:
    return ImportSource(name, (SAMPLES / name).read_bytes())


def test_the_state_of_each_notifier_is_told_and_parked_events_are_offered_again(
    boss: MasterClient, system: System
) -> None:
    boss.send_test()
    eventually(lambda: "notifier.test" in [parked.kind for parked in boss.notifiers().parked])
    (notifier,) = boss.notifiers().notifiers
    assert (notifier.name, notifier.pending) == ("pager", 0)
    assert notifier.parked >= 1
    parked = next(each for each in boss.notifiers().parked if each.kind == "notifier.test")
    assert parked.reason == "the receiver knows no such event"
    with pytest.raises(NotFound, match="is not parked"):
        boss.retry_parked("nothing")
    assert boss.retry_parked(parked.event_id) == 1
    assert [entry.action for entry in system.store().audit()][-1] == "notifier.retried"
    eventually(lambda: parked.event_id in [each.event_id for each in boss.notifiers().parked])


def test_the_system_is_switched_off_and_on(boss: MasterClient, system: System) -> None:
    for enabled in (False, True):
        boss.switch_system(enabled=enabled)
        record = system.store().system()
        assert record is not None
        assert record.settings.enabled is enabled


def test_every_trail_of_the_audit_is_proved(boss: MasterClient) -> None:
    proofs = boss.prove_audit()
    assert {proof.trail for proof in proofs} >= {"changes", "members", "lookups"}
    assert [proof.problems for proof in proofs if proof.problems] == []
    assert next(proof for proof in proofs if proof.trail == "changes").entries > 0


def test_an_import_says_what_it_would_change_before_it_does(boss: MasterClient, system: System) -> None:
    files = (source("mappings.xml"), source("applications.xml"), source("global-info.xml"))
    planned = boss.import_files(ImportRequest(files))
    assert planned.dry_run
    assert {"setting", "application", "mapping"} == {each.what for each in planned.differences}
    assert system.store().applications() == []
    assert len(planned.differences) + planned.more > 1200
    done = boss.import_files(ImportRequest(files, dry_run=False))
    assert [(each.holds, each.created) for each in done.files] == [(each.holds, each.created) for each in planned.files]
    again = boss.import_files(ImportRequest(files))
    assert again.differences == ()
    with pytest.raises(InvalidInput):
        boss.import_files(ImportRequest((ImportSource("x.xml", b"<sso>"),)))


def test_what_is_new_is_told_without_a_value_before_and_what_changes_with_both(
    boss: MasterClient, system: System
) -> None:
    system.with_users("NORDWIND\\anna")
    xml = (
        b"<sso><mapping><windowsDomain>NORDWIND</windowsDomain><windowsUserId>%s</windowsUserId>"
        b"<externalApplication>SAP</externalApplication><externalUserId>AWEBER</externalUserId></mapping></sso>"
    )
    for user, before in ((b"anna", "NORDWIND\\ANNA"), (b"bert", "")):
        found = boss.import_files(ImportRequest((ImportSource("m.xml", xml % user),))).differences
        (line,) = [each for each in found if each.field == "external_user"]
        assert (line.subject, line.before, line.after) == (f"SAP: NORDWIND\\{user.decode()}", before, "AWEBER")


def test_nobody_else_is_answered(boss: MasterClient, served: Served, system: System, tmp_path: Path) -> None:
    files = enrolled(system, "web-02", Role.SERVER, tmp_path)
    server = MasterClient([served.url], files, system.system_id)
    for ask in (server.notifiers, server.plugins, server.examine, server.prove_audit, server.send_test):
        with pytest.raises(AccessDenied):
            ask()
    server.close()
    assert boss.plugins() == boss.examine() == ()  # this master secret server was started without what tells
