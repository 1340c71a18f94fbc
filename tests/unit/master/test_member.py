"""One of several master secret servers, and what may befall it while it becomes active or a standby again."""

from __future__ import annotations

import threading
from collections import abc
from datetime import timedelta

import pytest
from systems import POLL_INTERVAL, System, eventually

from keysvc.errors import Fenced, KeysvcError
from keysvc.master.cluster_member import Member
from keysvc.master.service import MasterSecretServer
from keysvc.master.standby import Standby
from keysvc.model import Guard, Identity, Role, VersionRecord, VersionState, utc_now
from keysvc.plugin.changes import PutIdentity, PutVersion

TTL = timedelta(seconds=0.6)


class ItsAuthority:
    def is_here(self) -> bool:
        return True

    def keep(self, key: object) -> None:
        raise AssertionError("it is here")


class Machine:
    """A master secret server that is alone; `failures` made it end."""

    def __init__(self, system: System) -> None:
        self.store = system.store()
        self.store.commit([PutIdentity(Identity("master", Role.MASTER, "02", utc_now()))], Guard())
        self.failures: list[KeysvcError] = []
        key_store = system.key_store()
        standby = Standby(
            self.store,
            key_store,
            ItsAuthority(),
            lambda url: pytest.fail(f"nobody is to be followed, {url}"),
            name="master",
            url="",
            poll_interval=POLL_INTERVAL,
            lost_sight=lambda: None,
        )

        def term() -> MasterSecretServer:
            return MasterSecretServer(
                self.store, key_store, system.authority, poll_interval=POLL_INTERVAL, lease_ttl=TTL, name="master"
            )

        self.member = Member(
            self.store, standby, term, lease_ttl=TTL, changed=lambda: None, failed=self.failures.append
        )

    def active(self) -> bool:
        try:
            return self.member.active.valid
        except KeysvcError:
            return False


@pytest.fixture
def machine(system: System) -> abc.Iterator[Machine]:
    made = Machine(system)
    yield made
    ending = threading.Thread(target=made.member.stop, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


def test_stepping_down_while_the_lease_turns_out_to_be_lost_ends_and_a_later_lease_is_taken(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def renew(*_: object) -> None:
        asked.set()
        assert answer.wait(20)
        raise Fenced("another has it")

    machine.member.start()
    worker_stops = machine.member.active.stop
    monkeypatch.setattr(machine.store, "renew_lease", renew)
    assert asked.wait(20)

    def stop() -> None:
        """The thread that renews hears of its loss at the very moment at which it is waited for."""
        answer.set()
        worker_stops()

    monkeypatch.setattr(machine.member.active, "stop", stop)
    stepping_down = threading.Thread(target=lambda: machine.member.step_down("administrator", force=True), daemon=True)
    stepping_down.start()
    stepping_down.join(20)
    assert not stepping_down.is_alive()
    monkeypatch.undo()
    eventually(machine.active, 20)


def test_a_standby_that_lacks_a_version_that_is_only_announced_takes_over(machine: Machine, system: System) -> None:
    other = Identity("other", Role.MASTER, "03", utc_now())
    lost = VersionRecord(2, VersionState.ANNOUNCED, utc_now(), "0" * 16)
    machine.store.commit([PutIdentity(other), PutVersion(lost)], Guard())
    machine.member.start()
    eventually(machine.active, 20)
    eventually(lambda: [record.state for record in machine.store.versions()][1:] == ["destroyed", "active"])


def test_a_standby_that_lacks_a_version_that_is_in_use_leaves_the_lease_to_others(
    machine: Machine, system: System
) -> None:
    other = Identity("other", Role.MASTER, "03", utc_now())
    lost = VersionRecord(2, VersionState.RETIRING, utc_now(), "0" * 16)
    machine.store.commit([PutIdentity(other), PutVersion(lost)], Guard())
    machine.member.start()
    assert not machine.active()
    assert machine.member.standby.why_not_ready().startswith("version 2: ")


def test_one_that_stepped_down_leaves_the_lease_to_others_for_a_while(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.member.start()
    stop, epoch = machine.member.active.stop, machine.store.epoch()

    def looked_at_meanwhile() -> None:
        """Its own lease is still in force when it looks who is active, and is nobody else's."""
        machine.member._look()
        stop()

    monkeypatch.setattr(machine.member.active, "stop", looked_at_meanwhile)
    machine.member.step_down("administrator", force=True)
    machine.member._look()
    assert (machine.active(), machine.store.lease(), machine.store.epoch()) == (False, None, epoch)
    eventually(machine.active, 20)


def test_one_that_slept_through_its_lease_while_taking_it_is_a_standby_and_takes_a_later_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = machine.store.servers
    slept: list[int] = []

    def fenced() -> object:
        slept.append(1)
        raise Fenced("another has it")

    monkeypatch.setattr(machine.store, "servers", fenced)
    machine.member.start()
    assert not machine.active()
    monkeypatch.setattr(machine.store, "servers", servers)
    eventually(machine.active, 20)
    assert (machine.failures, bool(slept)) == ([], True)
