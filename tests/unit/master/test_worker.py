"""The workers of a master secret server: which of them may hang, and what that costs."""

from __future__ import annotations

import threading
from collections import abc
from datetime import timedelta

import pytest
from systems import System, eventually

from keysvc.errors import Fenced, MappingStoreUnavailable
from keysvc.master.worker import Worker
from keysvc.plugin.heartbeat import Heart

LONG = 60.0
TTL = timedelta(seconds=1.5)


def answers(ask: abc.Callable[[abc.Callable[[], object]], object], seconds: float = LONG) -> bool:
    answered = threading.Event()
    ask(answered.set)
    return answered.wait(seconds)


def test_a_rotation_that_waits_for_the_key_store_keeps_no_worker_from_answering(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = system.start()
    is_held, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(master.rotation, "advance", lambda: is_held.set() or (go_on.wait(LONG) and False))
    assert is_held.wait(LONG)
    assert answers(master.ask)
    go_on.set()


def test_a_worker_that_hangs_costs_the_lease_which_is_held_again_afterwards(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart, go_on = Heart(interval=0.05), threading.Event()
    heart.start()
    master = system.start(lease_ttl=TTL, silent=heart.silent)
    heart.watch("worker", master.ask)
    monkeypatch.setattr(master.identities, "record_seen", lambda: go_on.wait(LONG))
    eventually(lambda: not master.valid)
    assert not answers(master.ask, 0.1)
    go_on.set()
    eventually(lambda: master.valid)
    assert system.lost == []
    heart.stop()


def test_a_step_that_fails_is_logged_once_and_taken_again(caplog: pytest.LogCaptureFixture) -> None:
    taken, ended = threading.Semaphore(0), threading.Event()
    problems = iter([MappingStoreUnavailable("away"), MappingStoreUnavailable("away"), ValueError("geheim")])

    def step() -> float:
        taken.release()
        problem = next(problems, None)
        if problem is not None:
            raise problem
        ended.set()
        return LONG

    worker = Worker("the worker", step, 0.01)
    with caplog.at_level("INFO", "keysvc.master"):
        worker.start()
        assert ended.wait(LONG)
        assert answers(worker.ask)
    worker.stop()
    worker.join()
    assert [record.getMessage() for record in caplog.records] == [
        "the worker tries again problem=away",
        "the worker tries again problem='unexpected ValueError'",
        "the worker works again",
    ]


def test_a_worker_that_is_fenced_ends() -> None:
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        raise Fenced("another")

    worker = Worker("the worker", step, 0.0)
    worker.start()
    worker.join()
    assert steps == [1]
