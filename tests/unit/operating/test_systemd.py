"""What systemd is told, on a socket as it listens on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import abc
from pathlib import Path

import pytest

from keysvc.operating.health import Check
from keysvc.operating.service import Service
from keysvc.operating.systemd import ADDRESS, Supervisor, passed_sockets


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
        while heard(listening) != "STATUS=worker does not answer; started the service is starting":
            pass
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


def test_sockets_that_systemd_passes_are_found_by_their_names() -> None:
    code = """
import os, socket
from keysvc.operating.systemd import passed_sockets
made = [socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))]
for descriptor, each in zip((3, 4), [os.dup(one.fileno()) for one in made]):
    os.dup2(each, descriptor)
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="credentials:agent")
os.environ["LISTEN_PID"] = "1"
assert passed_sockets() == {}
os.environ.update(LISTEN_FDS="2", LISTEN_FDNAMES="credentials:agent", LISTEN_PID=str(os.getpid()))
found = passed_sockets()
print({name: (each.family.name, each.get_inheritable()) for name, each in found.items()}, "LISTEN_FDS" in os.environ)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "{'credentials': ('AF_UNIX', False), 'agent': ('AF_INET', False)} False\n", done.stderr


def test_a_process_that_systemd_did_not_start_was_passed_nothing() -> None:
    assert passed_sockets() == {}
