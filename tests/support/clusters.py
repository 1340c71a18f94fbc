"""Several master secret servers of one system, each a process of its own, with SSO servers that follow them."""

from __future__ import annotations

import json
import threading
import time
from collections import abc
from pathlib import Path

from systems import Ended, Keysvc, eventually

from keysvc import assembly
from keysvc import config as configuration
from keysvc.demo.processes import Machine, Process, free_port
from keysvc.errors import KeysvcError
from keysvc.sso import SSO

USER, APPLICATION = "alice", "SAP"


class Cluster:
    """`count` master machines on one mapping store. `run` is a command on the first machine."""

    def __init__(self, folder: Path, keysvc: Keysvc, *, mapping_store: str = "", ttl: str = "2s", poll: str = "500ms"):
        self.folder, self._keysvc = folder, keysvc
        self.machines: list[Machine] = []
        self.serving: dict[int, Process] = {}
        self._ssos: list[SSO] = []
        first = self._machine("m1")
        where = ("--dir", first.directory, "--listen", f"127.0.0.1:{free_port()}", "--no-backup")
        store = ("--mapping-store", mapping_store) if mapping_store else ()
        self._done(keysvc("init", *where, *store, "--poll-interval", poll, "--lease-ttl", ttl))

    def _machine(self, name: str) -> Machine:
        self.machines.append(Machine(self.folder / name, self.folder / "logs"))
        return self.machines[-1]

    def _done(self, ended: Ended) -> str:
        assert ended.status == 0, ended.err
        return ended.out

    def run(self, *arguments: object, machine: int = 0, stdin: str = "") -> str:
        return self._done(self._keysvc("--config", self.machines[machine].config, *arguments, stdin=stdin))

    def refused(self, *arguments: object, machine: int = 0) -> str:
        ended = self._keysvc("--config", self.machines[machine].config, *arguments)
        assert ended.status == 1, ended.out
        assert "Traceback" not in ended.err
        return ended.err

    def serve(self, machine: int = 0) -> Process:
        self.serving[machine] = self.machines[machine].start("serve")
        return self.serving[machine]

    def join_master(self, *more: object) -> int:
        """Another master machine, enrolled; not serving yet."""
        number = len(self.machines)
        machine = self._machine(f"m{number + 1}")
        token = self.run("server", "enroll", f"m{number + 1}", "--role", "master").split()[0]
        listen = ("--listen", f"127.0.0.1:{free_port()}")
        self._done(
            self._keysvc("join", self.url(0), "--token", "-", "--dir", machine.directory, *listen, *more, stdin=token)
        )
        return number

    def join_server(self, name: str = "web-01", **settings: object) -> Path:
        """The configuration of an SSO server."""
        token = self.run("server", "enroll", name).split()[0]
        directory = self.folder / name
        self._done(self._keysvc("join", self.url(0), "--token", "-", "--dir", directory, stdin=token))
        path = directory / configuration.FILE_NAME
        with path.open("a") as file:
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        return path

    def sso(self, config: Path) -> SSO:
        self._ssos.append(assembly.connect(config))
        return self._ssos[-1]

    def url(self, machine: int) -> str:
        return configuration.load(self.machines[machine].config).own_url

    def status(self, machine: int = 0) -> dict:
        return json.loads(self.run("cluster", "status", "--json", machine=machine))

    def active(self, machine: int = 0) -> int | None:
        """The number of the machine whose URL the lease names, as `machine` sees it."""
        store = assembly.open_mapping_store(configuration.load(self.machines[machine].config))
        try:
            lease = store.lease()
        finally:
            store.close()
        urls = [self.url(number) for number in range(len(self.machines))]
        return urls.index(lease.url) if lease and lease.url in urls else None

    def until_active(self, *machines: int, seen_by: int = 0) -> int:
        eventually(lambda: self.active(seen_by) in machines, 40)
        found = self.active(seen_by)
        assert found is not None
        return found

    def until_ready(self, standbys: int = 1) -> None:
        eventually(lambda: sum(each["ready"] for each in self.status()["standbys"]) >= standbys, 40)

    def with_credential(self, password: str = "geheim") -> None:
        self.run("app", "create", APPLICATION, "--enable")
        self.run("mapping", "set", APPLICATION, USER, "A", "--enable")
        fields = json.dumps({"Password": password})
        self.run("credential", "set", APPLICATION, USER, "--fields-file", "-", stdin=fields)

    def pair(self) -> None:
        """Two masters, the first active, the second ready; one credential."""
        self.serve(0)
        self.until_active(0)
        self.serve(self.join_master())
        self.with_credential()
        self.until_ready()

    def end(self) -> None:
        for sso in self._ssos:
            sso.close()
        for process in self.serving.values():
            process.end()


class Application(threading.Thread):
    """Looks up and stores a credential all the time; counts what failed."""

    def __init__(self, sso: SSO, pause: float = 0.02) -> None:
        super().__init__(name="application", daemon=True)
        self._sso, self._pause = sso, pause
        self._ending = threading.Event()
        self.lookups = self.encryptions = 0
        self.failures: list[str] = []

    def run(self) -> None:
        while not self._ending.wait(self._pause):
            for what in (self._look_up, self._store):
                try:
                    what()
                except KeysvcError as error:
                    self.failures.append(f"{what.__name__}: {error}")

    def _look_up(self) -> None:
        self._sso.credential(APPLICATION, user=USER, fresh=True)
        self.lookups += 1

    def _store(self) -> None:
        self._sso.set_credential(APPLICATION, user=USER, password=f"geheim-{self.encryptions}")
        self.encryptions += 1

    def __enter__(self) -> Application:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self.join()


def until_epoch_above(sso: SSO, epoch: int, seconds: float) -> float:
    """Seconds until this SSO server's poll was answered under a later epoch."""
    began = time.monotonic()
    eventually(lambda: sso.status().epoch > epoch, seconds)
    return time.monotonic() - began


Clusters = abc.Callable[..., Cluster]
