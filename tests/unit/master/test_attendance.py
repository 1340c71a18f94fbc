"""The next master secret server knows of every server that may encrypt, and none comes to be that lacks what is
active."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from msgspec.structs import replace
from systems import System, eventually

from keysvc.errors import MappingStoreUnavailable, MasterSecretServerUnavailable, RateLimited
from keysvc.master import servers
from keysvc.master.servers import LiveServers, PollRequest
from keysvc.model import Role, VersionState
from keysvc.plugin.allowance import RateLimit
from keysvc.plugin.changes import PutVersion, SeeServers


def states(system: System) -> dict[int, str]:
    return {record.version: record.state.value for record in system.store().versions()}


def test_a_first_poll_is_not_answered_before_it_is_recorded_even_while_the_worker_records_it(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = system.start()
    store, commit = master._store, master._store.commit
    taken, go_on = threading.Event(), threading.Event()

    def slowly(changes: list, guard: object) -> None:
        if any(isinstance(change, SeeServers) for change in changes):
            taken.set()
            assert go_on.wait(20)
            raise MappingStoreUnavailable("away")
        commit(changes, guard)

    monkeypatch.setattr(store, "commit", slowly)
    outcome: list[object] = []

    def poll() -> None:
        try:
            outcome.append(master.poll("web-01", "1", (1,)))
        except MappingStoreUnavailable as error:
            outcome.append(error)

    first = threading.Thread(target=poll)
    first.start()
    assert taken.wait(20)
    second = threading.Thread(target=poll)  # of the same process, such as a waiting poll beside it
    second.start()
    second.join(0.3)
    go_on.set()
    first.join(20)
    second.join(20)
    assert all(isinstance(each, MappingStoreUnavailable) for each in outcome)
    assert len(outcome) == 2
    assert [server.name for server in master._attendance.live.waiting_for(2)] == ["web-01"]
    monkeypatch.undo()
    master.poll("web-01", "1", (1,))
    assert [server.name for server in system.store().servers()] == ["web-01"]


def test_a_server_that_comes_back_while_a_version_becomes_active_gets_no_answer_until_it_is_announced(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = system.start()
    store, commit = master._store, master._store.commit
    activating, go_on = threading.Event(), threading.Event()

    def slowly(changes: list, guard: object) -> None:
        if any(isinstance(c, PutVersion) and c.record.state is VersionState.ACTIVE for c in changes):
            activating.set()
            assert go_on.wait(20)
        commit(changes, guard)

    monkeypatch.setattr(store, "commit", slowly)
    master.rotate("administrator")
    assert activating.wait(20)
    with pytest.raises(MasterSecretServerUnavailable, match="version 2 becomes active"):
        master.poll("late", "1", (1,))
    assert master.poll("holds it", "1", (1, 2)).active.version == 1
    go_on.set()
    eventually(lambda: master._announcement.active.version == 2)
    eventually(lambda: master._attendance.live._needed is None)
    assert master.poll("late", "1", (1,)).active.version == 2


@pytest.mark.parametrize("lost", [VersionState.ANNOUNCED, VersionState.ACTIVE])
def test_a_change_whose_answer_was_lost_is_announced_all_the_same(
    system: System, monkeypatch: pytest.MonkeyPatch, lost: VersionState
) -> None:
    master = system.start()
    sso, _ = system.sso()
    store, commit = master._store, master._store.commit
    lost_once: list[int] = []

    def losing(changes: list, guard: object) -> None:
        commit(changes, guard)
        if not lost_once and any(isinstance(c, PutVersion) and c.record.state is lost for c in changes):
            lost_once.append(1)
            raise MappingStoreUnavailable("the connection was lost while a change was being committed")

    monkeypatch.setattr(store, "commit", losing)
    try:
        master.rotate("administrator")
    except MappingStoreUnavailable:
        assert lost is VersionState.ANNOUNCED
    eventually(lambda: states(system) == {1: "retiring", 2: "active"})
    eventually(lambda: sso.status().active_version == 2)
    assert lost_once


def test_a_poll_that_says_what_it_said_before_is_seen_and_every_other_one_is_for_the_long_way() -> None:
    live = LiveServers([], timedelta(hours=1))
    said = PollRequest("web-01", "1", (1,))
    assert not live.saw_again(said), "nothing of it was recorded yet"
    new = live.saw(said)
    assert new is not None
    assert not live.saw_again(said)
    live.were_recorded([new])
    assert live.saw_again(said)
    for other in (
        replace(said, instance="2"),
        replace(said, versions_held=(1, 2)),
        replace(said, role=Role.MASTER, url="https://m2"),
        replace(said, problem="its disk is full"),
    ):
        assert not live.saw_again(other), "that is news"
    (seen,) = live.take_unrecorded()
    assert (seen.name, seen.versions_held) == ("web-01", (1,))
    assert seen.seen_at > new.seen_at
    assert not live.take_unrecorded()
    assert live.saw_again(said)
    assert live.take_unrecorded()
    assert not live.waiting_for(1)
    assert not live.saw_again(said), "a version becomes active"
    live.activated()
    assert live.saw_again(said)
    live.left("web-01", "1")
    assert not live.saw_again(said)


HOUR = timedelta(hours=1)


def lagging(*, others: bool) -> LiveServers:
    """Version 2 is announced: `slow` never fetches it."""
    live = LiveServers([], HOUR)
    live.saw(PollRequest("slow", "1", (1,)))
    if others:
        live.saw(PollRequest("web-01", "1", (1, 2)))
    return live


def test_a_server_that_does_not_fetch_for_long_gets_no_answer_and_the_rotation_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = lagging(others=True)
    assert [server.name for server in live.waiting_for(2)] == ["slow"]
    live.saw(PollRequest("slow", "1", (1,)))
    live.waiting_for(2, overdue=True)
    for instance in ("1", "2"):  # also under another name of its process
        said = PollRequest("slow", instance, (1,))
        assert not live.saw_again(said)
        with pytest.raises(MasterSecretServerUnavailable, match="fetch it first"):
            live.saw(said)
    live.saw(PollRequest("web-01", "1", (1, 2)))
    monkeypatch.setattr(servers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * 3600 + 1))
    live.saw(PollRequest("web-01", "1", (1, 2)))
    assert not live.waiting_for(2, overdue=True)
    live.activated()
    live.saw(PollRequest("slow", "1", ()))  # and fetches what is active


def test_while_nobody_else_could_fetch_it_every_server_is_waited_for() -> None:
    live = lagging(others=False)
    assert live.waiting_for(2, overdue=True)
    live.saw(PollRequest("slow", "1", (1,)))
    standby = LiveServers([], HOUR)
    standby.saw(PollRequest("web-01", "1", (1, 2)))
    standby.saw(PollRequest("m2", "1", (1,), Role.MASTER))
    assert standby.waiting_for(2, overdue=True)
    standby.saw(PollRequest("m2", "1", (1,), Role.MASTER))


def test_what_was_demanded_is_forgotten_when_the_rotation_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    live = lagging(others=True)
    live.waiting_for(2, overdue=True)
    monkeypatch.setattr(servers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * 3600 + 1))
    live.saw(PollRequest("slow", "1", (1,)))


def test_one_certificate_has_a_limited_number_of_live_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveServers([], HOUR)
    seen = refused = 0
    for number in range(1000):
        try:
            live.saw(PollRequest("web-01", str(number), (1,)))
            seen += 1
        except RateLimited:
            refused += 1
    assert (seen, refused) == (servers.MOST_INSTANCES, 1000 - servers.MOST_INSTANCES)
    live.saw(PollRequest("web-01", "1", (1, 2)))
    live.saw(PollRequest("web-02", "1", (1,)))
    assert live.left("web-01", "0")
    assert not live.left("web-01", "never")
    live._new = RateLimit(servers.MOST_INSTANCES, servers.NEW_PER_MINUTE)
    live.saw(PollRequest("web-01", "another", (1,)))
    monkeypatch.setattr(servers, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 2 * 3600 + 1))
    live.saw(PollRequest("web-01", "back", (1,)))  # those whose permission has ended make room, and are forgotten
    assert len(live.long_silent(timedelta(days=1))) == servers.MOST_INSTANCES


def test_processes_of_a_certificate_begin_no_faster_than_is_allowed() -> None:
    live = LiveServers([], HOUR)
    done = 0
    for number in range(1000):
        try:
            live.saw(PollRequest("web-01", str(number), (1,)))
        except RateLimited:
            continue
        live.left("web-01", str(number))
        done += 1
    assert servers.MOST_INSTANCES <= done < servers.MOST_INSTANCES + 10
