"""A server that is told to end does so at once, whoever keeps a connection to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections import abc

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import Machine, free_port
from keysvc.installation import config as configuration
from keysvc.installation.assembly import agent_client, master_client, open_mapping_store


def test_a_master_does_not_wait_for_connections_that_others_keep(site: Site) -> None:
    site.init("--no-backup")
    serving = site.serve()
    client = master_client(configuration.load(site.machine.config))
    assert client.status().master
    serving.popen.send_signal(signal.SIGTERM)
    assert serving.popen.wait(timeout=60) == 0
    client.close()
    assert "graceful shutdown exceeded" not in serving.log.read_text("utf-8")


@pytest.fixture
def hang_up_not_ignored() -> abc.Iterator[None]:
    """Processes inherit that SIGHUP is ignored, as nohup has it, and the services respect it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up_not_ignored")
def test_a_hang_up_ends_a_master_on_a_terminal_in_order(site: Site) -> None:
    site.init("--no-backup")
    config = configuration.load(site.machine.config)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "keysvc", "--config", str(site.machine.config), "serve"]
    process = subprocess.Popen(command, stderr=theirs)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        eventually(lambda: site.state()["state"] == "ready")
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=60) == 0
        assert b"a master secret server of" in terminal.read(65536)
    with contextlib.closing(open_mapping_store(config)) as store:
        assert store.lease() is None, "the lease was released"


@pytest.mark.usefixtures("hang_up_not_ignored")
def test_sighup_reloads_a_master_and_an_agent_that_are_on_no_terminal(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    serving = site.serve()
    config = configuration.load(site.machine.config)
    machine = Machine(site.folder / "web-01", site.folder / "logs")
    where = ("--dir", machine.directory, "--agent", f"127.0.0.1:{free_port()}")
    token = site("server", "enroll", "web-01").out
    assert keysvc("join", config.own_url, "--token-file", "-", *where, stdin=token).status == 0
    agent = machine.start("agent")
    eventually(lambda: "the SSO server web-01 is on" in agent.log.read_text("utf-8"))
    client = agent_client(configuration.load(machine.config))
    client.status()  # it serves, and so takes SIGHUP for what it is
    client.close()
    for process, path in ((agent, machine.config), (serving, site.machine.config)):
        path.write_text(f'log.level = "debug"\n{path.read_text("utf-8")}', "utf-8")
        process.popen.send_signal(signal.SIGHUP)
        eventually(lambda log=process.log: "the configuration was reloaded" in log.read_text("utf-8"))
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(timeout=60) == 0


@pytest.mark.skipif(shutil.which("unshare") is None, reason="mounts need unshare, of Linux")
def test_a_configuration_that_is_mounted_is_refused_before_anything_is_moved(site: Site) -> None:
    site.init("--no-backup")
    path = site.machine.config
    second, database = site.folder / "second", site.folder / "new.db"
    (site.folder / "second.key").write_bytes(b"x" * 32)
    (site.folder / "second.key").chmod(0o600)
    commands = (
        f"secret protect 'file://{second}?key-file={site.folder / 'second.key'}'",
        f"secret reseal --to 'file://{second}?key-file={site.folder / 'second.key'}'",
        f"mapping-store migrate --to 'sqlite:///{database}'",
    )
    for command in commands:
        line = f"mount --bind {path} {path} && {sys.executable} -m keysvc --config {path} {command}"
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", line], capture_output=True, text=True, timeout=120, check=False
        )
        if "unshare" in done.stderr or "Operation not permitted" in done.stderr:
            pytest.skip(f"this account may not mount here: {done.stderr.strip()}")
        assert (done.returncode, "cannot be replaced" in done.stderr) == (1, True), done.stderr
    assert not second.exists()
    assert not database.exists()
    site.serve()
