"""Several master secret servers of one system, each a process of its own, with SSO servers that follow them."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path

from systems import TELLING_OF_LEAKS, Ended, Keysvc, end_closed, eventually

from keysvc.cli.demo.processes import Machine, Process, free_port
from keysvc.errors import KeysvcError
from keysvc.installation import assembly, config as configuration, init_and_join
from keysvc.master.status import SystemStatus
from keysvc.model import Field, Flags
from keysvc.sso import SSO
from keysvc.sso.administration import Administration

USER, APPLICATION = "alice", "SAP"


class Cluster:
    """Master machines on one mapping store. `run` is a command on the first of them. A lease lasts longer than a loaded
    machine makes its holder wait; where nobody is killed, so long that it does not matter."""

    def __init__(self, folder: Path, keysvc: Keysvc, *, mapping_store: str = "", ttl: str = "5s", poll: str = "500ms"):
        self.folder, self._keysvc = folder, keysvc
        self.machines: list[Machine] = []
        self.serving: dict[int, Process] = {}
        self._ssos: list[SSO] = []
        first = self._machine("m1")
        wishes = init_and_join.InitOptions(
            mapping_store=mapping_store or None, listen=f"127.0.0.1:{free_port()}", poll_interval=poll, lease_ttl=ttl
        )
        init_and_join.install(first.directory, wishes, assembly.no_prompt)

    def _machine(self, name: str) -> Machine:
        self.machines.append(Machine(self.folder / name, self.folder / "logs", TELLING_OF_LEAKS))
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

    def assert_one_history(self, active: int) -> None:
        """The other did what it could for a while, as a standby: versions, epoch and lease are the active one's."""
        self.until_ready()
        found = self.status(active)
        assert found.master_url == self.url(active)
        with contextlib.closing(assembly.open_mapping_store(self.config(active))) as store:
            assert [(record.version, record.state.value) for record in store.versions()] == [
                (1, "retiring"),
                (2, "active"),
            ]
            assert store.epoch() == found.epoch
        with assembly.connect(self.machines[0].config) as sso:
            assert sso.credential(APPLICATION, user=USER)["password"].reveal() == "geheim"

    def serve(self, machine: int = 0) -> Process:
        self.serving[machine] = self.machines[machine].start("serve")
        return self.serving[machine]

    def join_master(self, *more: object) -> int:
        """Another master machine, enrolled; not serving yet."""
        number = len(self.machines)
        machine = self._machine(f"m{number + 1}")
        token = self._token(f"m{number + 1}", "master")
        listen = ("--listen", f"127.0.0.1:{free_port()}")
        self._done(
            self._keysvc("join", self.url(0), "--token", "-", "--dir", machine.directory, *listen, *more, stdin=token)
        )
        return number

    def _token(self, name: str, role: str) -> str:
        with contextlib.closing(assembly.master_client(self.config())) as client:
            return client.enroll(name, role)

    def config(self, machine: int = 0) -> configuration.Config:
        return configuration.load(self.machines[machine].config)

    def join_server(self, name: str = "web-01", **settings: object) -> Path:
        """The configuration of an SSO server."""
        token = self._token(name, "server")
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
        return self.config(machine).own_url

    def status(self, machine: int = 0) -> SystemStatus:
        """As the active master tells it a client on `machine`."""
        with contextlib.closing(assembly.master_client(self.config(machine))) as client:
            return client.status()

    def active(self, machine: int = 0) -> int | None:
        """The number of the machine whose URL the lease names, as `machine` sees it."""
        with contextlib.closing(assembly.open_mapping_store(self.config(machine))) as store:
            lease = store.lease()
        urls = [self.url(number) for number in range(len(self.machines))]
        return urls.index(lease.url) if lease and lease.url in urls else None

    def until_active(self, *machines: int, seen_by: int = 0) -> int:
        eventually(lambda: self.active(seen_by) in machines, 60)
        found = self.active(seen_by)
        assert found is not None
        return found

    def until_ready(self, standbys: int = 1) -> None:
        def ready() -> bool:
            try:
                return sum(each.ready for each in self.status().standbys) >= standbys
            except KeysvcError:  # nobody is active at this moment
                return False

        eventually(ready, 60)

    def with_credential(self, password: str = "geheim") -> None:
        with contextlib.closing(assembly.open_mapping_store(self.config())) as store:
            administration = Administration(store, "administrator")
            fields = [Field("User Id", masked=False), Field("Password", masked=True)]
            administration.create_application(APPLICATION, fields, flags=Flags(enabled=True))
            administration.set_mapping(APPLICATION, USER, "A", enable=True)
        with assembly.connect(self.machines[0].config) as sso:
            sso.set_credential(APPLICATION, user=USER, password=password)

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
        end_closed(self.serving.values())


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
