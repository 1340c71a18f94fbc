"""As the README says: configured in keysvc.toml, the secret in a file, a master secret server as a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import pytest

from keysvc.installation import assembly, config
from keysvc.plugin import UNGUARDED, AppendEvent, Event, utc_now


class Process(subprocess.Popen):
    """What it says on stderr is in `said`, as far as it was read."""

    said = ""

    def until(self, *signs: str) -> str:
        """The first line with one of these in it, which it said or says."""
        while not (found := [line for line in self.said.splitlines() if any(sign in line for sign in signs)]):
            line = self.stderr.readline()
            assert line, self.said
            self.said += line
        return found[0]


@pytest.fixture
def keysvc(tmp_path: Path, receiver) -> abc.Callable[..., Process]:
    """Start `keysvc …` as a process of its own."""
    (tmp_path / "webhook.secret").write_text(f"{receiver.secret}\n")
    (tmp_path / "webhook.secret").chmod(0o600)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
    environment = {
        **clean,
        "HOME": str(tmp_path),
        "KEYSVC_CONFIG": str(tmp_path / "system/keysvc.toml"),
    }

    def keysvc(*arguments: object) -> Process:
        return Process(
            [sys.executable, "-m", "keysvc", *map(str, arguments)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    return keysvc


@pytest.fixture
def serve(keysvc, tmp_path: Path, receiver, ca_file: Path) -> abc.Callable[[], Process]:
    """Configure a system whose events go to the receiver; then start its master secret server, as often as wanted."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    _done(keysvc("init", "--dir", tmp_path / "system", "--no-backup", "--listen", listen))
    source = f"secret-source=file:{tmp_path}/webhook.secret"
    url = f"webhook+https://localhost:{receiver.port}/keysvc?ca-file={ca_file}&allow-private=yes&{source}"
    configuration = tmp_path / "system/keysvc.toml"
    settings = configuration.read_text("utf-8").replace('lease_ttl = "15s"', 'lease_ttl = "1s"')
    configuration.write_text(f"{settings}notifiers = {json.dumps([url])}\n")

    def serve() -> Process:
        """Wait for its first line; one that finds the lease of a dead one ends, and is started again."""
        deadline = time.monotonic() + 30
        while True:
            process = keysvc("serve")
            line = process.until("epoch", "error: ")
            if "epoch" in line:
                return process
            process.communicate()
            assert "lease-held" in line
            assert time.monotonic() < deadline

    return serve


def _done(process: Process) -> None:
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints


def _killed(process: Process) -> str:
    """All that it said."""
    process.kill()
    return process.said + process.communicate(timeout=60)[1]


def _arrived(receiver) -> list[str]:
    """Which of the fifty, each once; among them come those that tell who is the master."""
    return [name for name in dict.fromkeys(each["id"] for each in receiver.deliveries) if name.startswith("event-")]


def _wait_for(count: int, receiver) -> None:
    deadline = time.monotonic() + 120
    while len(_arrived(receiver)) < count:
        assert time.monotonic() < deadline, receiver.deliveries
        time.sleep(0.001)


def test_events_arrive_in_order_though_receiver_and_master_die_meanwhile(serve, keysvc, receiver) -> None:
    receiver.stop()
    master = serve()
    _done(keysvc("secret", "rotate"))
    log = _killed(master)
    master = serve()
    receiver.start()
    deadline = time.monotonic() + 120
    while "org.keysvc.version.activated.v1" not in [delivery["type"] for delivery in receiver.deliveries]:
        assert time.monotonic() < deadline, receiver.deliveries
        time.sleep(0.05)
    log += _killed(master)
    once = list({delivery["id"]: delivery for delivery in receiver.deliveries}.values())
    assert [each["type"] for each in once if ".master." not in each["type"]][:4] == [
        "org.keysvc.system.configured.v1",
        "org.keysvc.secret.generated.v1",
        "org.keysvc.rotation.started.v1",
        "org.keysvc.version.activated.v1",
    ]
    assert [delivery["time"] for delivery in once] == sorted(delivery["time"] for delivery in once)
    assert "localhost cannot be reached: Connection refused" in log
    assert receiver.secret not in log


def test_fifty_events_of_a_long_outage_all_arrive_in_order_and_only_with_the_same_id_twice(
    serve, receiver, tmp_path: Path
) -> None:
    receiver.stop()
    wanted = [f"event-{number:02}" for number in range(50)]
    store = assembly.open_mapping_store(config.load(tmp_path / "system/keysvc.toml"))
    log = ""
    for part in (wanted[:20], wanted[20:40]):
        master = serve()
        events = [Event(name, "rotation.progress", utc_now(), {"subject": name}) for name in part]
        store.commit([AppendEvent(event) for event in events], UNGUARDED)
        master.until("Connection refused")
        log += _killed(master)
    store.commit([AppendEvent(Event(name, "rotation.progress", utc_now(), {})) for name in wanted[40:]], UNGUARDED)
    master = serve()
    receiver.start()
    _wait_for(25, receiver)
    log += _killed(master)
    assert len(_arrived(receiver)) < 50, "it was to be killed in the middle"
    master = serve()
    _wait_for(50, receiver)
    log += _killed(master)
    store.close()
    assert _arrived(receiver) == wanted
    assert receiver.secret not in log
