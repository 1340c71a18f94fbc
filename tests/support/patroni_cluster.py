"""Three PostgreSQL servers under Patroni, with etcd and HAProxy, on this machine: what an operator runs, made small.

What comes to a node, and what it asks of etcd, goes through ways of `chaos.proxy`, which can be cut.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from chaos.proxy import Network, Way
from postgresql_server import children_of, lives, programs_of_postgresql
from systems import eventually

from keysvc.cli.demo.processes import free_port

NODES = 3
TTL_SECONDS, LOOP_SECONDS, RETRY_SECONDS = 8, 2, 2
PROGRAMS = {"patroni": "patroni", "etcd": "etcd-server", "haproxy": "haproxy", "initdb": "postgresql"}
"""Each program, and the Debian package that has it."""
START_SECONDS = 90.0

PATRONI = """
scope: keysvc
name: {name}
restapi: {{listen: "127.0.0.1:{api}", connect_address: "127.0.0.1:{api_way}"}}
etcd3: {{host: "127.0.0.1:{etcd_way}"}}
bootstrap:
  dcs:
    ttl: {ttl}
    loop_wait: {loop}
    retry_timeout: {retry}
    maximum_lag_on_failover: 1073741824
    synchronous_mode: {synchronous}
    postgresql: {{use_pg_rewind: true}}
  initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}, {{auth: trust}}]
postgresql:
  listen: "127.0.0.1:{port}"
  connect_address: "127.0.0.1:{replication_way}"
  data_dir: {data}
  bin_dir: {programs}
  pgpass: {folder}/{name}.pgpass
  authentication: {{superuser: {{username: postgres}}, replication: {{username: postgres}}}}
  pg_hba: ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust", "local all all trust"]
  parameters:
    unix_socket_directories: {folder}
    max_connections: 200
    shared_buffers: 32MB
    fsync: "off"
    full_page_writes: "on"
    wal_log_hints: "on"
    log_min_messages: fatal
"""

HAPROXY = """
global
  maxconn 500
defaults
  mode tcp
  timeout connect 2s
  timeout client 1h
  timeout server 1h
  timeout check 1s
listen primary
  bind 127.0.0.1:{port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


def missing() -> str:
    """The Debian packages that are not here; empty when all are."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    lacking = [
        package for program, package in PROGRAMS.items() if program != "initdb" and not shutil.which(program, path=path)
    ]
    return " ".join([*lacking, *([] if programs_of_postgresql() else ["postgresql"])])


def skip_without() -> None:
    """Skip the test where packages are missing; fail on a build machine."""
    if lacking := missing():
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say(f"the programs of a cluster are not here: apt-get install {lacking}")


@dataclass
class Node:
    """One PostgreSQL server with its Patroni."""

    name: str
    folder: Path
    port: int
    api: int
    way: Way  # of clients to PostgreSQL
    replication_way: Way  # of the other nodes
    api_way: Way
    etcd_way: Way
    patroni: subprocess.Popen[bytes] | None = None
    pids_paused: list[int] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / f"{self.name}-data"

    def postmaster(self) -> int | None:
        """The process id of the server, None when it is down."""
        try:
            pid = int((self.data / "postmaster.pid").read_text("utf-8").split()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            return None
        return pid

    def processes(self) -> list[int]:
        """Of PostgreSQL: the postmaster first."""
        pid = self.postmaster()
        return [] if pid is None else [pid, *children_of(pid)]


def _programs() -> Path:
    programs = programs_of_postgresql()
    assert programs is not None
    return programs


class Cluster:
    """Started by the constructor, which returns when there is a primary and both replicas follow it."""

    def __init__(self, *, synchronous: bool) -> None:
        self.synchronous = synchronous
        self.folder = Path(tempfile.mkdtemp(prefix="keysvc-patroni-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self.folder, self._user)
        self._network = Network()
        self._etcd_port, self._etcd_peer, self.port = free_port(), free_port(), free_port()
        self._etcd: subprocess.Popen[bytes] | None = None
        self._haproxy: subprocess.Popen[bytes] | None = None
        self.nodes = [self._node(number) for number in range(1, NODES + 1)]
        self._start_etcd()
        self._start_haproxy()
        for node in self.nodes:
            self.start(node)
            if node is self.nodes[0]:
                eventually(lambda: self.primary() is not None, START_SECONDS)
        eventually(self.is_whole, START_SECONDS)

    # -- made ------------------------------------------------------------------------------------------------------

    def _node(self, number: int) -> Node:
        port, api = free_port(), free_port()
        ways = [self._network.way(lambda target=target: target) for target in (port, port, api, self._etcd_port)]
        return Node(f"node{number}", self.folder, port, api, *ways)

    def _spawn(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(part) for part in command],
                user=self._user,
                group=pwd.getpwnam(self._user).pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin", "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )

    def _start_etcd(self) -> None:
        here, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._etcd_peer}"
        addresses = ("--listen-client-urls", here, "--advertise-client-urls", here, "--listen-peer-urls", peer)
        peers = ("--initial-advertise-peer-urls", peer, "--initial-cluster", f"etcd={peer}", "--name", "etcd")
        self._etcd = self._spawn(
            "etcd", "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync", *addresses, *peers
        )
        eventually(lambda: _get(f"{here}/health") is not None, 30)

    def _start_haproxy(self) -> None:
        servers = "\n".join(
            f"  server {node.name} 127.0.0.1:{node.way.port} check port {node.api_way.port}" for node in self.nodes
        )
        file = self.folder / "haproxy.cfg"
        file.write_text(HAPROXY.format(port=self.port, servers=servers), "utf-8")
        self._haproxy = self._spawn("haproxy", "haproxy", "-db", "-f", file)

    def start(self, node: Node) -> None:
        """Start Patroni, which starts PostgreSQL."""
        file = self.folder / f"{node.name}.yml"
        given = {"name": node.name, "api": node.api, "api_way": node.api_way.port, "etcd_way": node.etcd_way.port}
        given |= {
            "port": node.port,
            "replication_way": node.replication_way.port,
            "data": node.data,
            "folder": self.folder,
        }
        given |= {"ttl": TTL_SECONDS, "loop": LOOP_SECONDS, "retry": RETRY_SECONDS}
        given |= {"synchronous": str(self.synchronous).lower(), "programs": _programs()}
        file.write_text(PATRONI.format(**given), "utf-8")
        node.patroni = self._spawn(node.name, "patroni", file)

    # -- what is true ----------------------------------------------------------------------------------------------

    def primary(self) -> Node | None:
        """The node that Patroni names as the primary; None while there is none."""
        return next((node for node in self.nodes if _get(f"http://127.0.0.1:{node.api}/primary") is not None), None)

    def primary_now(self) -> Node:
        """The primary, which is awaited."""
        found: list[Node] = []

        def there() -> bool:
            found[:] = [node for node in self.nodes if self._is_primary(node)]
            return bool(found)

        eventually(there, START_SECONDS)
        return found[0]

    def is_whole(self) -> bool:
        """Whether every replica streams from the primary, and one of them is synchronous where that is asked."""
        primary = self.primary()
        if primary is None:
            return False
        try:
            streams = self.query(
                primary, "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"
            ).split()
        except RuntimeError:
            return False
        return len(streams) == NODES - 1 and (not self.synchronous or "sync" in streams)

    def query(self, node: Node, statement: str, database: str = "postgres") -> str:
        """What psql prints. Raises RuntimeError."""
        where = ("-h", "127.0.0.1", "-p", str(node.port), "-U", "postgres", "-d", database)
        command = [str(_programs() / "psql"), "-X", "-q", "-A", "-t", *where, "-c", statement]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def new_database(self, name: str) -> str:
        """The URL of an empty one, by way of HAProxy."""
        primary = self.primary_now()
        self.query(primary, f'CREATE DATABASE "{name}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    # -- what befalls it -------------------------------------------------------------------------------------------

    def kill(self, node: Node) -> None:
        """As a power failure does it: Patroni and every process of PostgreSQL at once."""
        processes = node.processes()
        if node.patroni is not None:
            processes.insert(0, node.patroni.pid)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if node.patroni is not None:
            node.patroni.wait()
        eventually(lambda: not any(map(lives, processes)), 30)
        (node.data / "postmaster.pid").unlink(missing_ok=True)
        for stale in self.folder.glob(f".s.PGSQL.{node.port}*"):
            stale.unlink()

    def pause(self, node: Node, *, patroni_only: bool = False) -> None:
        """Stop the machine's clock; with `patroni_only`, the server goes on and nobody watches it."""
        assert node.patroni is not None
        node.pids_paused = [node.patroni.pid, *([] if patroni_only else node.processes())]
        self._signal(node.pids_paused, signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        """After `pause`."""
        self._signal(node.pids_paused, signal.SIGCONT)
        node.pids_paused = []

    def partition(self, node: Node) -> None:
        """Nothing reaches it, and it reaches no etcd."""
        for way in (node.way, node.replication_way, node.api_way, node.etcd_way):
            way.cut(silently=False)

    def heal(self, node: Node) -> None:
        """After `partition`."""
        for way in (node.way, node.replication_way, node.api_way, node.etcd_way):
            way.heal()

    def set_synchronous(self, synchronous: bool) -> None:
        """Whether a commit waits for a replica, from now on."""
        if synchronous != self.synchronous:
            body = json.dumps({"synchronous_mode": synchronous}).encode()
            _get(f"http://127.0.0.1:{self.nodes[0].api}/config", body, method="PATCH")
            self.synchronous = synchronous
            eventually(self.is_whole, START_SECONDS)

    def switch_over(self) -> Node:
        """As an operator plans it. The new primary."""
        leader = self.primary_now()
        _get(f"http://127.0.0.1:{leader.api}/switchover", json.dumps({"leader": leader.name}).encode(), seconds=60)
        return self.wait_for_another(leader)

    def wait_for_another(self, old: Node, seconds: float = START_SECONDS) -> Node:
        """Wait until another node is the primary."""
        found: list[Node] = []

        def promoted() -> bool:
            found[:] = [node for node in self.nodes if node is not old and self._is_primary(node)]
            return bool(found)

        eventually(promoted, seconds)
        return found[0]

    def _is_primary(self, node: Node) -> bool:
        return _get(f"http://127.0.0.1:{node.api}/primary") is not None

    def snapshot(self) -> Path:
        """A copy of the primary's data as a volume snapshot has it."""
        primary = self.primary_now()
        copy = self.folder / "snapshot"
        shutil.rmtree(copy, ignore_errors=True)
        where = ("-h", "127.0.0.1", "-p", primary.port, "-U", "postgres")
        tool = _programs() / "pg_basebackup"
        taken = self._spawn("snapshot", tool, *where, "-D", copy, "-c", "fast", "-X", "stream").wait(120)
        assert taken == 0, (self.folder / "snapshot.log").read_text("utf-8")
        return copy

    def restore(self, snapshot: Path) -> None:
        """The whole cluster is what it was: as a person does it who goes back to a snapshot."""
        for node in self.nodes:
            self.kill(node)
            shutil.rmtree(node.data, ignore_errors=True)
        assert self._etcd is not None
        self._etcd.kill()
        self._etcd.wait()
        shutil.rmtree(self.folder / "etcd")
        self._start_etcd()
        self._spawn("copy", "cp", "-a", snapshot, self.nodes[0].data).wait(120)
        for node in self.nodes:
            self.start(node)
            if node is self.nodes[0]:
                eventually(lambda: self.primary() is not None, START_SECONDS)

    def _signal(self, processes: abc.Iterable[int], number: int) -> None:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def remove(self) -> None:
        """End every process, and take the data away."""
        for node in self.nodes:
            self._signal(node.pids_paused, signal.SIGCONT)
            self.kill(node)
        for process in (self._haproxy, self._etcd):
            if process is not None:
                process.kill()
                process.wait()
        self._network.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _get(url: str, body: bytes | None = None, *, method: str | None = None, seconds: float = 2) -> bytes | None:
    """What a good answer says; None without one."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=seconds) as answer:
            return bytes(answer.read())
    except (OSError, urllib.error.HTTPError):
        return None
