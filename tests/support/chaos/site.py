"""The system under test: masters, SSO servers and what lies between them, each a process that can be killed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path

from chaos.application import APPLICATION, WAYS
from chaos.breaking import BREAK, STOP, Meetings
from chaos.history import History
from chaos.proxy import Network, Way, Ways
from keysvc.cli.demo.processes import free_port
from keysvc.crypto import certificates
from keysvc.errors import KeysvcError
from keysvc.installation import assembly, config, init_and_join
from keysvc.installation.config import Config
from keysvc.model import Field, Flags, Guard, Identity, Mapping, Role, host_name, utc_now
from keysvc.plugin.changes import PutIdentity, PutMapping
from keysvc.plugin.interfaces import MappingStore
from keysvc.sso.administration import Administration
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import MASTER_IDENTITY

POLL_SECONDS, TTL_SECONDS = 1.0, 2.0
DIRECTED_TTL_SECONDS = 6.0  # a loaded machine takes no lease away, but where that is the scenario
MASTERS = 2
LOST = ("store-turned-back", "store-forked")
RESTART_SECONDS = 0.5
SAMPLE_SECONDS = 0.05
SUPPORT = Path(__file__).parents[1]


@dataclass
class Service:
    """A process that is started again when it ends, as an init system does it. `command` gets the number of starts."""

    name: str
    command: abc.Callable[[int], list[str]]
    log: Path
    environment: abc.Mapping[str, str] = field(default_factory=dict)
    popen: subprocess.Popen[bytes] | None = None
    starts: int = 0
    wanted: bool = True
    rest_until: float = 0.0

    @property
    def runs(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    def start(self) -> None:
        self.starts += 1
        clean = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
        with self.log.open("ab") as out:
            self.popen = subprocess.Popen(
                self.command(self.starts),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**clean, **self.environment, "PYTHONPATH": str(SUPPORT)},
            )

    def signal(self, number: int) -> None:
        if self.popen is not None and self.runs:
            self.popen.send_signal(number)

    def supervise(self) -> None:
        """Start it when it should run, and has rested."""
        now = time.monotonic()
        if not self.wanted or self.runs:
            self.rest_until = now + RESTART_SECONDS
        elif now >= self.rest_until:
            self.start()

    def end(self, patience: float = 30) -> bool:
        """SIGTERM. False when it had to be killed."""
        self.wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self.popen is None:
            return True
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            return False
        return True


class Site:
    """Masters, each with a key store of its own, SSO servers, and ways between them. Leaving its context ends
    everything."""

    def __init__(
        self,
        folder: Path,
        *,
        mapping_store: str = "",
        database_port: int | None = None,
        servers: int,
        keys: int = 12,
        without: str = "",
        directed: bool = False,
    ) -> None:
        """`without` is the guard that its processes do without. When `directed`, they come to `meetings`."""
        self.folder, self.network, self.keys = folder, Network(), keys
        self.meetings = Meetings(folder / "meetings")
        self.meetings.folder.mkdir()
        (folder / "histories").mkdir()
        self.history = History(folder / "histories" / "site.jsonl")
        self._mapping_store = mapping_store or f"sqlite:///{folder}/mappings.db"
        self._database_port = database_port
        self._ttl_seconds = DIRECTED_TTL_SECONDS if directed else TTL_SECONDS
        self._environment = {BREAK: without, STOP: str(self.meetings.folder) if directed else ""}
        self.detours: dict[str, int] = {}  # the port of the database for a process that a load balancer sends elsewhere
        self.ways: dict[str, Ways] = {}
        self.database_ways: dict[str, Way] = {}
        first = self._install()
        self.masters = [self._master(number, first) for number in range(1, MASTERS + 1)]
        self.servers = [self._server(number, first) for number in range(1, servers + 1)]
        self.config = first
        self.store: MappingStore = assembly.open_mapping_store(first)
        self._fill()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._supervise, name="supervisor"),
            threading.Thread(target=self._watch, name="watch"),
        ]

    # -- made --------------------------------------------------------------------------------------------------------

    def _install(self) -> Config:
        wishes = init_and_join.InitOptions(
            mapping_store=self._mapping_store,
            listen=f"127.0.0.1:{free_port()}",
            poll_interval=f"{POLL_SECONDS}s",
            lease_ttl=f"{self._ttl_seconds}s",
        )
        return init_and_join.install(self.folder / "master-1", wishes, assembly.no_prompt).config

    def _master(self, number: int, first: Config) -> Service:
        name = f"master-{number}"
        path = self.folder / name / config.FILE_NAME
        changed: dict[str, config.Value] = {"mapping_store": self._through_a_proxy(name)}
        if number > 1:
            shutil.copytree(first.directory, path.parent, ignore=lambda *_: ["authority", "secret", "secret.key"])
            hosts = [host_name(Role.MASTER, first.system_id)]
            self._enrol(name, Role.MASTER, path.parent / MASTER_IDENTITY, first, hosts=hosts)
            changed["listen"] = f"127.0.0.1:{free_port()}"
            changed["key_store"] = (path.parent / "secret").as_uri()
        config.change(path, changed)
        command = [sys.executable, "-m", "chaos.master", "--config", str(path), "serve"]
        return Service(name, lambda _: command, self.folder / f"{name}.log", self._environment)

    def _enrol(self, name: str, role: Role, where: Path, first: Config, hosts: abc.Sequence[str] = ()) -> None:
        authority = assembly.authority(first)
        pair = certificates.issue(authority, name, role, now=utc_now(), hosts=hosts)
        assembly.write_identity(where, pair, authority.certificate)
        store = assembly.open_mapping_store(first)
        store.commit([PutIdentity(Identity(name, role, certificates.serial(pair.certificate), utc_now()))], Guard())
        store.close()

    def _server(self, number: int, first: Config) -> Service:
        """It is told of one master, or of all, and finds the others by itself."""
        name = f"web-{number}"
        directory = self.folder / name
        self._enrol(name, Role.SERVER, directory / "identity", first)
        urls = [f"https://127.0.0.1:{self.port(master)}" for master in self.masters]
        ways = [self.network.way(functools.partial(self.port, master)) for master in self.masters]
        self.ways[name] = Ways(ways)
        settings: dict[str, config.Value] = {
            "system_id": first.system_id,
            "mapping_store": self._through_a_proxy(name),
            "master": tuple(urls) if number % 2 else urls[0],
            "identity": "identity",
        }
        path = directory / config.FILE_NAME
        path.write_text(config.dump(settings))
        through = {url: f"https://127.0.0.1:{way.port}" for url, way in zip(urls, ways, strict=True)}

        def command(starts: int) -> list[str]:
            history = self.folder / "histories" / f"{name}.{starts}.jsonl"
            arguments = [str(path), str(history), name, str(starts), str(self.keys)]
            return [sys.executable, "-m", "chaos.application", *arguments]

        environment = {**self._environment, WAYS: json.dumps(through)}
        return Service(name, command, self.folder / f"{name}.log", environment)

    def _through_a_proxy(self, name: str) -> str:
        if self._database_port is None:
            return self._mapping_store
        way = self.database_ways[name] = self.network.way(lambda: self.detours.get(name, self._database_port))
        return self._mapping_store.replace(f":{self._database_port}/", f":{way.port}/")

    def _fill(self) -> None:
        administration = Administration(self.store, "administrator")
        fields = [Field("User Id", masked=False), Field("Password", masked=True)]
        administration.create_application(APPLICATION, fields, flags=Flags(enabled=True))
        mappings = [Mapping(APPLICATION, f"user-{n}", f"USER{n}", enabled=True) for n in range(self.keys)]
        self.store.commit([PutMapping(mapping) for mapping in mappings], Guard())

    def send(self, names: abc.Iterable[str], port: int | None) -> None:
        """From now on these processes reach the database at another port, or, with None, at the usual one again."""
        for name in names:
            if port is None:
                self.detours.pop(name, None)
            else:
                self.detours[name] = port
            self.database_ways[name].cut(silently=False)
            self.database_ways[name].heal()

    # -- running -----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Site:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        for service in (*self.servers, *self.masters):
            if not service.end():
                self.history.note("hangs", name=service.name)
        self.store.close()
        self.network.close()

    def _supervise(self) -> None:
        while not self._stopping.wait(0.05):
            for service in (*self.masters, *self.servers):
                service.supervise()

    def _watch(self) -> None:
        """Look at the mapping store, past all proxies: what is true, whoever says what."""
        watching = assembly.open_mapping_store(self.config)
        while not self._stopping.wait(SAMPLE_SECONDS):
            before = time.monotonic()
            try:
                lease = watching.lease()
                versions = {str(record.version): record.state.value for record in watching.versions()}
                rows = {str(version): count for version, count in watching.rows_by_version().items()}
            except KeysvcError:
                continue
            holder = (lease.epoch, lease.holder) if lease else None
            self.history.note("sample", before=before, lease=holder, versions=versions, rows=rows)
            self.lease, self.versions = lease, versions
        watching.close()

    lease = None
    versions: abc.Mapping[str, str] = {}

    def noticed(self) -> bool:
        """Whether the active master says that its store has lost something."""
        with contextlib.closing(self.administrator()) as client:
            try:
                return client.status().state in LOST
            except KeysvcError:
                return False

    def active(self) -> Service | None:
        """The master that holds the lease, as it was last seen."""
        if self.lease is None:
            return None
        pid = int(self.lease.holder.split("/")[1])
        return next((m for m in self.masters if m.popen is not None and m.popen.pid == pid), None)

    def active_url(self) -> str:
        """Where it listens; empty when there is none."""
        active = self.active()
        return f"https://127.0.0.1:{self.port(active)}" if active else ""

    def port(self, master: Service) -> int:
        listen = config.load(self.folder / master.name / config.FILE_NAME).listen
        return int(str(listen).rpartition(":")[2])

    def administrator(self, patience: float = 0.0) -> MasterClient:
        """A way to the active master, past all proxies. `patience` is for a moment in which one hands over."""
        first = self.active_url() or "https://127.0.0.1:1"
        identity = assembly.identity(self.config)
        return MasterClient([first], identity, self.config.system_id, self.active_url, patience)

    def service(self, target: str) -> Service | None:
        """By name; `master` is the active one, `standby` another."""
        active = self.active()
        match target:
            case "master":
                return active
            case "standby":
                return next((m for m in self.masters if m is not active), None)
        return next((s for s in (*self.masters, *self.servers) if s.name == target), None)
