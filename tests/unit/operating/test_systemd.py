"""What systemd is told, on a socket as it listens on."""

from __future__ import annotations

import os
import socket
from collections import abc
from pathlib import Path

import pytest

from keysvc.operating.health import Check
from keysvc.operating.service import Service
from keysvc.operating.systemd import ADDRESS, Supervisor


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> abc.Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(60)
        monkeypatch.setenv(ADDRESS, str(tmp_path / "notify"))
        yield made


def heard(listening: socket.socket) -> str:
    return listening.recv(4096).decode()


def test_a_service_says_what_it_does_and_feeds_the_watchdog(listening: socket.socket) -> None:
    with Service(0.01) as service:
        service.heart.watch("worker", lambda no_op: no_op())
        assert heard(listening) == "WATCHDOG=1"
        assert heard(listening) == "STATUS=started the service is starting"
        service.serves(lambda: [Check("started"), Check("key-store", "does not answer", is_needed=False)])
        said = {heard(listening) for _ in range(10)}
        assert said == {"READY=1", "WATCHDOG=1", "STATUS=key-store does not answer"}
        service.reload(lambda: None)
        said = {heard(listening).partition("\n")[0] for _ in range(10)}
        assert {"RELOADING=1", "READY=1"} <= said
    said = set()
    while "STOPPING=1" not in said:
        said.add(heard(listening))


def test_a_thread_that_hangs_feeds_no_watchdog(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keysvc.operating.service.LIVE_SECONDS", -1.0)
    monkeypatch.setattr("keysvc.operating.health.LIVE_SECONDS", -1.0)
    with Service(0.01) as service:
        service.heart.watch("worker", lambda no_op: no_op())
        assert heard(listening) == "STATUS=worker does not answer; started the service is starting"
        service.serves(lambda: [Check("started")])
        assert heard(listening) == "READY=1"
        assert heard(listening) == "STATUS=worker does not answer"
    assert heard(listening) == "STOPPING=1"


def test_children_inherit_nobody_to_speak_to(listening: socket.socket) -> None:
    assert Supervisor().is_there
    assert ADDRESS not in os.environ
    assert not Supervisor().is_there


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS, raising=False)
    Supervisor().ready()
    monkeypatch.setenv(ADDRESS, "/nowhere/at/all")
    Supervisor().ready()
