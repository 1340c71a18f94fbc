"""Probes, metrics and what systemd is told, of real processes."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import sqlite3
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import Machine, free_port
from keysvc.installation import config as configuration


def ask(port: int, path: str) -> tuple[int, str]:
    """Status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, http.client.HTTPException):
        return 0, ""


def with_probes(config: Path) -> int:
    port = free_port()
    config.write_text(f'probes = "127.0.0.1:{port}"\n{config.read_text("utf-8")}', "utf-8")
    return port


def test_a_master_is_ready_while_it_holds_the_lease_and_live_without_it(site: Site) -> None:
    site.init("--no-backup")
    port = with_probes(site.machine.config)
    process = site.serve()
    eventually(lambda: ask(port, "/readyz") == (200, "ok\n"))
    status, text = ask(port, "/metrics")
    assert status == 200
    assert "\nkeysvc_lease_held 1.0\n" in text
    eventually(lambda: 'method="renew_lease"' in ask(port, "/metrics")[1])
    with contextlib.closing(sqlite3.connect(site.machine.directory / "keysvc.db", timeout=60)) as blocking:
        blocking.execute("BEGIN IMMEDIATE")  # nobody else writes
        eventually(lambda: ask(port, "/readyz")[0] == 503)
        assert "[-]lease is not held now\n" in ask(port, "/readyz")[1]
        assert ask(port, "/livez") == (200, "ok\n")
    eventually(lambda: ask(port, "/readyz") == (200, "ok\n"))
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(60) == 0


def test_an_agent_is_ready_while_it_holds_a_version(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    site.serve()
    config = configuration.load(site.machine.config)
    machine = Machine(site.folder / "web-01", site.folder / "logs")
    where = ("--dir", machine.directory, "--agent", f"127.0.0.1:{free_port()}")
    token = site("server", "enroll", "web-01").out
    assert keysvc("join", config.own_url, "--token-file", "-", *where, stdin=token).status == 0
    port = with_probes(machine.config)
    site.running.append(machine.start("agent"))
    eventually(lambda: ask(port, "/readyz") == (200, "ok\n"))
    assert "\nkeysvc_versions_held 1.0\n" in ask(port, "/metrics")[1]


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="systemd is of Linux")
def test_systemd_hears_when_a_master_is_ready_lives_and_stops(site: Site) -> None:
    site.init("--no-backup")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(site.folder / "notify"))
        listening.settimeout(60)
        machine = Machine(site.machine.directory, site.machine.logs, {"NOTIFY_SOCKET": str(site.folder / "notify")})
        process = machine.start("serve")
        site.running.append(process)
        said: list[str] = []
        while not {"READY=1", "WATCHDOG=1", "STATUS=ready"} <= set(said):
            said.append(listening.recv(4096).decode())
        assert said.index("STATUS=started the service is starting") < said.index("READY=1")
        process.popen.send_signal(signal.SIGTERM)
        while said[-1] != "STOPPING=1":
            said.append(listening.recv(4096).decode())
        assert process.popen.wait(60) == 0
