"""A configured system of real parts for tests, and keysvc as a command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import abc
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import warm_commands

from keysvc.cli.demo.processes import Process
from keysvc.crypto import certificates, transport
from keysvc.errors import NotifierUnavailable
from keysvc.master import lifecycle
from keysvc.master.delivery import Subscription
from keysvc.master.service import MasterSecretServer
from keysvc.model import Announcement, Event, Field, Flags, Identity, Role, SecretBytes, VersionId, utc_now
from keysvc.plugin.heartbeat import Silent, nobody_silent
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.loading import Plugins
from keysvc.sso import SSO
from keysvc.sso.administration import Administration

SYSTEM_ID = "5" * 32
POLL_INTERVAL = timedelta(milliseconds=200)
TELLING_OF_LEAKS = {"PYTHONWARNINGS": "always::ResourceWarning"}
"""The environment of a process that reports each file, socket and database that nobody closed; of SQLite since 3.13."""
LEAK = "ResourceWarning"
COMMAND_SECONDS = 120
LEASE_TTL = timedelta(seconds=20)  # beyond every pause of a loaded machine


def eventually(true: abc.Callable[[], bool], seconds: float = 60) -> None:
    """Fail unless it becomes true in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Away:
    """A notifier that accepts nothing, so that the outbox keeps every event."""

    def deliver(self, _event: Event) -> None:
        raise NotifierUnavailable("away")

    def close(self) -> None:
        pass


def keeping_events() -> list[Subscription]:
    """For `System.start`: a master without a notifier empties the outbox at its next turn."""
    return [Subscription("away", Away())]


def end_closed(processes: abc.Collection[Process]) -> None:
    """End them all. Fails when one that was asked to end left anything open."""
    for process in processes:
        process.end()
    for process in processes:
        assert LEAK not in process.log.read_text(), process.log.read_text()


class InProcessMaster:
    """What an SSO server asks of the master, without HTTP between; `down` cuts it off."""

    def __init__(self, system: System, name: str) -> None:
        self.system, self.name, self.down, self.polls = system, name, False, 0

    def _master(self) -> MasterSecretServer:
        from keysvc.errors import MasterSecretServerUnavailable

        if self.down or self.system.master is None:
            raise MasterSecretServerUnavailable("cut off by the test")
        return self.system.master

    def poll(self, versions_held: tuple[VersionId, ...], etag: str | None, *, wait: float = 0.0) -> Announcement | None:
        self.polls += 1
        master = self._master()
        found = master.poll(self.name, "1", master.announced().numbers_of(versions_held))
        return None if found.etag == etag else found

    def fetch(self, version: int) -> SecretBytes:
        key = transport.ReceiverKey.generate("X25519")
        sealed = self._master().fetch(version, key.kem, key.public, self.name, Role.SERVER)
        return key.open(sealed, transport.fetch_context(SYSTEM_ID, version, self.name))

    def leave(self) -> None:
        if self.system.master is not None and not self.down:
            self.system.master.leave(self.name, "1")

    def close(self) -> None:
        pass


@dataclass
class System:
    """A system in `folder`: file key store, SQLite or `mapping_store`, and when started a master in this process."""

    folder: Path
    plugins: Plugins
    authority: certificates.KeyPair
    master: MasterSecretServer | None = None
    system_id: str = SYSTEM_ID
    mapping_store: str = ""
    lost: list[Exception] = field(default_factory=list)
    _open: list[SSO] = field(default_factory=list)
    _stores: list[MappingStore] = field(default_factory=list)

    def store(self) -> MappingStore:
        url = self.mapping_store or f"sqlite:///{self.folder}/keysvc.db"
        opened = self.plugins.mapping_stores.open(url, _no_prompt, self.system_id)
        self._stores.append(opened)
        return opened

    def key_store(self) -> KeyStore:
        return self.plugins.key_stores.open(f"file://{self.folder}/secret", _no_prompt, self.system_id)

    def start(
        self,
        lease_ttl: timedelta = LEASE_TTL,
        poll_interval: timedelta = POLL_INTERVAL,
        subscriptions: abc.Sequence[Subscription] = (),
        rotate_every: timedelta | None = None,
        silent: Silent = nobody_silent,
    ) -> MasterSecretServer:
        self.master = MasterSecretServer(
            self.store(),
            self.key_store(),
            self.authority,
            poll_interval=poll_interval,
            lease_ttl=lease_ttl,
            subscriptions=subscriptions,
            rotate_every=rotate_every,
            silent=silent,
        )
        self.master.start(self.lost.append)
        return self.master

    def stop(self) -> None:
        if self.master is not None:
            self.master.stop()
            self.master = None

    def sso(
        self, name: str = "web-01", store: MappingStore | None = None, **options: Any
    ) -> tuple[SSO, InProcessMaster]:
        link = InProcessMaster(self, name)
        server = SSO(store or self.store(), link, name, **options)
        self._open.append(server)
        return server, link

    def administration(self) -> Administration:
        return Administration(self.store(), "administrator")

    def with_users(self, *users: str) -> None:
        """An enabled application SAP with enabled mappings of these users."""
        administration = self.administration()
        if administration.store.application("SAP") is None:
            fields = [Field("User Id", masked=False), Field("Password", masked=True)]
            administration.create_application("SAP", fields, flags=Flags(enabled=True))
        for user in users:
            administration.set_mapping("SAP", user, user.upper(), enable=True)

    def close(self) -> None:
        for server in self._open:
            server.close()
        self.stop()
        for store in self._stores:
            store.close()


def configured(folder: Path, system_id: str = SYSTEM_ID, mapping_store: str = "") -> System:
    """A system with version 1, without a running master."""
    authority = certificates.create_authority(system_id, now=utc_now())
    made = System(folder, Plugins(), authority, system_id=system_id, mapping_store=mapping_store)
    store = made.store()
    store.prepare()
    administrator = Identity("administrator", Role.ADMINISTRATOR, "01", utc_now())
    lifecycle.configure(store, made.key_store(), system_id, administrator)
    return made


def _no_prompt(what: str) -> object:
    raise AssertionError(f"nobody may be asked for {what}")


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    status: int
    out: str
    err: str


Keysvc = abc.Callable[..., Ended]


def run_keysvc(home: Path, *arguments: object, stdin: str = "", env: abc.Mapping[str, str] | None = None) -> Ended:
    """Run `keysvc …` as a process of its own, with `home` as its home. Fails when it leaves anything open."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
    environment = {**clean, **TELLING_OF_LEAKS, "HOME": str(home), **(env or {})}
    words = [*map(str, arguments)]
    if warm_commands.usable(environment):
        done = warm_commands.run(words, stdin, environment, COMMAND_SECONDS)
    else:
        command = [sys.executable, "-m", "keysvc", *words]
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
            env=environment,
        )
    assert LEAK not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)
