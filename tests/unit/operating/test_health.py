"""What a service says of itself in each state that it can be in. docs/how-to/operate.md has the same table."""

from __future__ import annotations

import re
import threading
from collections import abc
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from systems import System, eventually

from keysvc.errors import KeyStoreUnavailable, NotActive
from keysvc.operating import health
from keysvc.operating.health import Check, Health, of_agent, of_master
from keysvc.plugin.heartbeat import Heart, Resting

TABLE = Path(__file__).parents[3] / "docs/how-to/operate.md"
State = abc.Callable[[System, pytest.MonkeyPatch], health.Look]


class StandsBy:
    """A member that is not active."""

    def __init__(self, *, can_take_over: bool) -> None:
        self.can_take_over = can_take_over

    @property
    def active(self) -> object:
        raise NotActive("this is a standby", active="")


def starting(_system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    return health.starting


def stopping(_system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    return health.stopping


def active(system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    member = SimpleNamespace(active=system.start())
    return lambda: of_master(member)


def lease_ran_out(system: System, patch: pytest.MonkeyPatch) -> health.Look:
    look = active(system, patch)
    assert system.master is not None
    system.master.stop()
    return look


def key_store_away(system: System, patch: pytest.MonkeyPatch) -> health.Look:
    look = active(system, patch)
    assert system.master is not None
    (system.folder / "secret").rename(system.folder / "away")
    system.master._key_store_watch.look_soon()
    eventually(lambda: not system.master.condition().key_store_answers)
    return look


def version_does_not_open(system: System, patch: pytest.MonkeyPatch) -> health.Look:
    look = active(system, patch)
    assert system.master is not None
    system.master._secrets.problems[1] = KeyStoreUnavailable("damaged")
    return look


def standby(_system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    return lambda: of_master(StandsBy(can_take_over=True))


def standby_not_ready(_system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    return lambda: of_master(StandsBy(can_take_over=False))


def agent(system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    system.start()
    sso, _ = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    return lambda: of_agent(sso)


def agent_without_master(system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    system.start()
    sso, link = system.sso()
    eventually(lambda: sso.status().can_encrypt)
    link.down = True
    eventually(lambda: not sso.status().can_encrypt and bool(sso.status().problem))
    return lambda: of_agent(sso)


def agent_without_versions(system: System, _patch: pytest.MonkeyPatch) -> health.Look:
    sso, _ = system.sso()
    return lambda: of_agent(sso)


STATES: abc.Mapping[str, tuple[State, str, str]] = {
    "starting": (starting, "200", "503"),
    "active, holds the lease": (active, "200", "200"),
    "active, the lease ran out: the mapping store is away, or a thread hung": (lease_ran_out, "200", "503"),
    "active, the key store does not answer": (key_store_away, "200", "200"),
    "active, a version cannot be unsealed": (version_does_not_open, "200", "200"),
    "standby, could take over": (standby, "200", "200"),
    "standby, could not take over": (standby_not_ready, "200", "503"),
    "agent, holds the master secret": (agent, "200", "200"),
    "agent, no master secret server answers": (agent_without_master, "200", "200"),
    "agent, holds no version": (agent_without_versions, "200", "503"),
    "stopping": (stopping, "200", "503"),
}
HANGS = "the event loop or the worker has not answered for two minutes"


def answer(checks: health.Checks) -> str:
    return "200" if all(check.is_well for check in checks) else "503"


@contextmanager
def beating() -> abc.Iterator[Heart]:
    heart = Heart(interval=0.01)
    heart.watch("worker", lambda no_op: no_op())
    heart.start()
    try:
        yield heart
    finally:
        heart.stop()


@pytest.mark.parametrize("name", STATES)
def test_a_state_has_its_answer(name: str, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    state, live, ready = STATES[name]
    with beating() as heart:
        found = Health(heart)
        found.serves(state(system, monkeypatch))
        assert (answer(found.live()), answer(found.ready())) == (live, ready), [*map(str, found.ready())]


def test_a_thread_that_hangs_makes_the_service_neither_live_nor_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LIVE_SECONDS", 0.05)
    rounds = threading.Semaphore(0)
    heart = Heart(rounds.release, interval=0.01)
    heart.watch("worker", Resting().ask)
    heart.start()
    try:
        for _ in range(20):
            assert rounds.acquire(timeout=60)
        found = Health(heart)
        found.serves(lambda: [Check("started")])
        assert [*map(str, found.live())] == ["[-]worker does not answer"]
        assert (answer(found.live()), answer(found.ready())) == ("503", "503")
    finally:
        heart.stop()


def test_the_table_of_the_documentation_has_every_state_and_its_answer() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (\d+) \| (\d+) \|", TABLE.read_text("utf-8"), re.MULTILINE)
    assert [(name, live, ready) for name, live, ready in rows] == [
        *((name, live, ready) for name, (_, live, ready) in STATES.items()),
        (HANGS, "503", "503"),
    ]
