"""One run: carry a plan out, let everything heal, read it all back, and judge."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import signal
import time
from collections import Counter, abc
from dataclasses import dataclass, field
from pathlib import Path

from postgresql_server import PostgreSQLServer

from chaos import checker
from chaos.application import APPLICATION
from chaos.checker import Judgement
from chaos.plan import Step, plan
from chaos.site import POLL_SECONDS, Service, Site
from keysvc.crypto.credentials import CredentialCipher
from keysvc.errors import KeysvcError
from keysvc.installation import assembly
from keysvc.model import VersionState

HEALING_SECONDS = 90.0


@dataclass
class Execution:
    """Carries out steps at their times, and undoes them when they have lasted."""

    site: Site
    database: PostgreSQLServer | None
    done: Counter[str] = field(default_factory=Counter)
    _undoing: list[tuple[float, int, abc.Callable[[], None]]] = field(default_factory=list)
    _numbers: abc.Iterator[int] = field(default_factory=itertools.count)

    def run(self, steps: abc.Iterable[Step]) -> None:
        start = time.monotonic()
        for step in steps:
            self._wait_until(start + step.at)
            self._do(step)
        self._wait_until(float("inf"))

    def _wait_until(self, at: float) -> None:
        while self._undoing and self._undoing[0][0] <= at:
            due, _, undo = heapq.heappop(self._undoing)
            time.sleep(max(0.0, due - time.monotonic()))
            undo()
        if at < float("inf"):
            time.sleep(max(0.0, at - time.monotonic()))

    def _do(self, step: Step) -> None:
        begin = time.monotonic()
        service = self.site.service(step.target)
        undo = self._act(step, service)
        if undo is None:
            return
        self.done[step.action] += 1
        name = service.name if service else step.target
        self.site.history.note("fault begins", action=step.action, target=name)

        def end() -> None:
            undo()
            self.site.history.note("fault", action=step.action, target=name, begin=begin)

        heapq.heappush(self._undoing, (time.monotonic() + step.lasts, next(self._numbers), end))

    def _act(self, step: Step, service: Service | None) -> abc.Callable[[], None] | None:
        """Do it; how to undo it, or None when there is nothing to do it to."""
        match step.action:
            case "kill" | "pause" | "stop" if service is not None and service.runs:
                return self._signal(step.action, service)
            case "cut" | "silence" if service is not None:
                return self._cut(self.site.ways, step, service)
            case "cut-database" | "silence-database" if service is not None:
                return self._cut(self.site.database_ways, step, service)
            case "rotate" | "destroy":
                return self._administer(step.action)
            case "kill-database" if self.database is not None:
                self.database.kill()
                time.sleep(0.3)
                self.database.start()
                return lambda: None
            case "restart-database" if self.database is not None:
                self.database.restart()
                return lambda: None
        return None

    def _signal(self, action: str, service: Service) -> abc.Callable[[], None]:
        if action == "pause":
            service.signal(signal.SIGSTOP)
            return lambda: service.signal(signal.SIGCONT)
        service.wanted = False
        service.signal(signal.SIGKILL if action == "kill" else signal.SIGTERM)
        if action == "kill" and service.popen is not None:
            service.popen.wait()

        def again() -> None:
            service.wanted = True

        return again

    def _cut(self, ways: abc.Mapping, step: Step, service: Service) -> abc.Callable[[], None]:
        way = ways[service.name]
        way.cut(silently=step.action.startswith("silence"))
        return way.heal

    def _administer(self, action: str) -> abc.Callable[[], None] | None:
        """A master that is away is asked in vain; that is no fault."""
        client = self.site.administrator()
        try:
            if action == "rotate":
                client.rotate()
            else:
                retiring = [r.version for r in self.site.store.versions() if r.state is VersionState.RETIRING]
                client.destroy(min(retiring, default=0), force=True)
        except KeysvcError:
            return None
        finally:
            client.close()
        return lambda: None


def settled(site: Site) -> bool:
    """A master is there, every SSO server may encrypt, and no rotation is under way."""
    client = site.administrator()
    try:
        status = client.status()
    except KeysvcError:
        return False
    finally:
        client.close()
    able = {server.name for server in status.servers if server.can_encrypt}
    return status.rotation is None and able >= {server.name for server in site.servers}


def standbys_are_ready(site: Site) -> bool:
    """Every other master holds what is needed to take over."""
    client = site.administrator()
    try:
        standbys = client.status().standbys
    except KeysvcError:
        return False
    finally:
        client.close()
    return sum(standby.ready for standby in standbys) == len(site.masters) - 1


def wait_until_settled(site: Site, what: str) -> None:
    deadline = time.monotonic() + HEALING_SECONDS
    while not (settled(site) and standbys_are_ready(site)):
        if time.monotonic() > deadline:
            site.history.note("unsettled", what=what)
            return
        time.sleep(0.2)


def read_everything(site: Site) -> None:
    """Look every credential up as an SSO server would that has just started; and decrypt every row that there is."""
    history = site.history
    with contextlib.closing(assembly.open_key_store(site.config, assembly.no_prompt)) as key_store:
        ciphers = {v: CredentialCipher(key_store.unseal(v), site.config.system_id) for v in key_store.versions()}
    application = site.store.application(APPLICATION)
    assert application is not None
    for number in range(site.keys):
        key = f"user-{number}"
        call = history.call("fresh", key)
        row = site.store.credential(APPLICATION, key)
        if row is None:
            history.answer(call, value=None)
            continue
        try:
            fields = ciphers[row.version].decrypt(application, key, row.ciphertext)
            history.answer(call, value=fields["Password"].reveal(), version=row.version)
        except (KeyError, KeysvcError) as error:
            history.answer(call, error="unreadable", why=f"version {row.version}: {error}")


def run(
    folder: Path, seed: int, seconds: float, *, servers: int = 3, database: PostgreSQLServer | None = None
) -> Judgement:
    """A whole run. What it leaves in `folder` is for whoever looks into a violation."""
    url, port = (database.new_database(), database.port) if database else ("", None)
    steps = plan(seed, seconds, servers=servers, database=database is not None)
    (folder / "plan.txt").write_text("".join(f"{step}\n" for step in steps))
    with Site(folder, mapping_store=url, database_port=port, servers=servers) as site:
        wait_until_settled(site, "at the beginning")
        execution = Execution(site, database)
        execution.run(steps)
        wait_until_settled(site, "at the end")
        finish(site)
    return checker.judge(folder / "histories", execution.done)


def finish(site: Site) -> None:
    """Let applications go on for a moment, end them, and read what they left."""
    time.sleep(2 * POLL_SECONDS)
    for server in site.servers:
        if not server.end():
            site.history.note("hangs", name=server.name)
    read_everything(site)
