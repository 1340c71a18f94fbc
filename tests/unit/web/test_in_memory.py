"""What an agent answers from memory needs no thread; whoever has to ask somebody does not hold up the event loop."""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from systems import System
from web_servers import Served, serving_agent

from keysvc.errors import AccessDenied
from keysvc.model import AuditTrail
from keysvc.plugin.interfaces import MappingStore
from keysvc.web.agent.client import AgentClient
from keysvc.web.asgi import routing

EVENT_LOOP = "local-socket"  # so is the thread called in which a test's agent runs
TIMES = 5


@dataclass
class Watched:
    """A mapping store that remembers what it was asked, and by which thread."""

    store: MappingStore
    asked: list[tuple[str, str]]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)

        def method(*arguments: Any, **named: Any) -> Any:
            self.asked.append((name, threading.current_thread().name))
            return found(*arguments, **named)

        return method


@dataclass
class Watching:
    """Everything that the mapping store is asked, and how many operations went to a thread."""

    system: System
    asked: list[tuple[str, str]] = field(default_factory=list)
    in_threads: int = 0

    def forget(self) -> None:
        self.asked.clear()
        self.in_threads = 0

    def store(self) -> MappingStore:
        return Watched(System.store(self.system), self.asked)

    def for_requests(self) -> list[str]:
        return [name for name, thread in self.asked if thread.startswith("request")]

    def on_the_event_loop(self) -> list[str]:
        return [name for name, thread in self.asked if thread == EVENT_LOOP]


@pytest.fixture
def watching(system: System, monkeypatch: pytest.MonkeyPatch) -> Watching:
    watching = Watching(system)
    really = routing.in_thread

    def in_thread(*arguments: Any) -> Any:
        watching.in_threads += 1
        return really(*arguments)

    monkeypatch.setattr(routing, "in_thread", in_thread)
    system.with_users("anna", "bert")
    system.start(poll_interval=timedelta(minutes=10))
    monkeypatch.setattr(system, "store", watching.store)
    return watching


@pytest.fixture
def agent(watching: Watching, tmp_path: Path) -> abc.Iterator[Served]:
    sso = watching.system.sso()[0]
    sso.set_credential("SAP", user="anna", password="geheim")
    with serving_agent(watching.system, sso, tmp_path) as served:
        yield served
    assert not watching.on_the_event_loop()


@pytest.fixture
def client(agent: Served) -> abc.Iterator[AgentClient]:
    made = agent.client()
    yield made
    made.close()


def look_up(client: AgentClient, **options: bool) -> None:
    for _ in range(TIMES):
        assert client.credential("SAP", user="anna", **options)["password"].reveal() == "geheim"


def recorded(watching: Watching) -> list[tuple[str, str, str]]:
    found = watching.system.store().audit(AuditTrail.LOOKUPS)
    return [(entry.actor, entry.subject, entry.result) for entry in found]


def test_a_look_up_from_memory_needs_no_thread(client: AgentClient, watching: Watching) -> None:
    look_up(client)
    assert watching.in_threads == 1, "the first alone asks the mapping store"
    assert watching.for_requests()
    watching.forget()
    look_up(client)
    client.status()
    assert (watching.in_threads, watching.for_requests()) == (0, [])


def test_a_fresh_look_up_asks_in_a_thread(client: AgentClient, watching: Watching) -> None:
    look_up(client, fresh=True)
    assert watching.in_threads == TIMES
    assert watching.for_requests().count("look_up") == TIMES


def test_a_look_up_from_memory_that_is_recorded_is_so_in_a_thread_and_once(watching: Watching, tmp_path: Path) -> None:
    watching.system.administration().audit_levels(3, 1)
    sso = watching.system.sso()[0]
    sso.set_credential("SAP", user="anna", password="geheim")
    with serving_agent(watching.system, sso, tmp_path) as served:
        look_up(served.client())
    assert recorded(watching) == [("payroll", "SAP: anna", "done")] * TIMES
    assert watching.for_requests().count("commit") == TIMES
    assert not watching.on_the_event_loop()


def test_who_has_no_right_is_refused_and_recorded_in_a_thread_each_time(watching: Watching, tmp_path: Path) -> None:
    sso = watching.system.sso()[0]
    sso.set_credential("SAP", user="anna", password="geheim")
    with serving_agent(watching.system, sso, tmp_path, administrators="somebody else") as served:
        for _ in range(TIMES):
            with pytest.raises(AccessDenied, match=r"credential\.look-up"):
                served.client().credential("SAP", user="anna")
    assert recorded(watching) == [("payroll", "SAP: anna", "access-denied")] * TIMES
    assert not watching.on_the_event_loop()


def test_a_put_reads_the_mapping_store_at_most_twice_before_its_one_commit(
    client: AgentClient, watching: Watching
) -> None:
    for put in (
        lambda: client.set_credential("SAP", user="anna", password="neu"),
        lambda: client.administration.set_mapping("SAP", "anna", "ANNA-2"),
    ):
        watching.forget()
        put()
        asked = watching.for_requests()
        assert asked.count("commit") == 1
        assert asked.index("commit") <= 2, asked
