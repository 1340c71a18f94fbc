"""Masters, SSO servers and a mapping store under a clock that the test moves: whatever happens in whatever order, the
invariants of the design hold. A process that is paused stands before its commit, and makes it when it goes on."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import time
import types
from collections import abc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import pytest
from chaos import breaking
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from systems import SYSTEM_ID

from keysvc.crypto import certificates, transport
from keysvc.errors import (
    Fenced,
    KeysvcError,
    MasterSecretServerUnavailable,
    StaleVersion,
    VersionInUse,
    VersionNotFound,
)
from keysvc.master import lifecycle
from keysvc.master.servers import LiveServers
from keysvc.master.service import MasterSecretServer
from keysvc.model import Announcement, Field, Flags, Identity, Role, SecretBytes, VersionId, VersionState, utc_now
from keysvc.plugin.changes import PutCredential, PutVersion, Reencrypt
from keysvc.plugin.loading import Plugins
from keysvc.sso import SSO
from keysvc.sso.administration import Administration
from keysvc.sso.version_cache import VersionCache
from keysvc.stores.sql import SQLMappingStore
from keysvc.stores.sqlite_store import SQLiteMappingStore

POLL, TTL = timedelta(seconds=10), timedelta(seconds=6)
BEGIN = datetime(2026, 2, 3, tzinfo=UTC)
USERS = ("anna", "bert", "carla")
NEW = "dora"
SERVERS = ("web-1", "web-2")
AUTHORITY = certificates.create_authority(SYSTEM_ID, now=utc_now())
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a disk would take most of the time
begin_thread = threading.Thread.start


class Clock:
    """The one time of all processes; the database's may be set apart from it."""

    def __init__(self) -> None:
        self.now, self.database = 1000.0, 0.0

    def elapsed(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    @contextlib.contextmanager
    def rules(self) -> abc.Iterator[None]:
        """Whoever asks for the time, or sleeps, in masters and SSO servers; none of their threads runs by itself."""
        simulated = types.SimpleNamespace(**vars(time))
        simulated.monotonic, simulated.sleep = self.elapsed, self.sleep
        with contextlib.ExitStack() as stack:
            for name, module in list(sys.modules.items()):
                if name.startswith(("keysvc.master.", "keysvc.sso.")):
                    for attribute, value in (("time", simulated), ("elapsed", self.elapsed)):
                        if hasattr(module, attribute):
                            stack.enter_context(mock.patch.object(module, attribute, value))
            stack.enter_context(mock.patch.object(threading.Thread, "start", return_value=None))
            yield


class SimulatedStore(SQLiteMappingStore):
    """In memory, and with the clock of a database."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(None)
        self._clock = clock

    def _now(self, connection: object) -> datetime:
        return BEGIN + timedelta(seconds=self._clock.now + self._clock.database)


class Process:
    """A process's way to the mapping store. Told to `pause_at` a kind of change, it is `paused` before that."""

    def __init__(self, store: SQLiteMappingStore) -> None:
        self._store = store
        self._turn, self._go = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._after: abc.Callable[[object], None] = lambda _result: None
        self._result: object = None
        self.pause_at: type | None = None
        self.paused = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def close(self) -> None:
        pass

    def commit(self, all_changes: abc.Sequence[object], guard: object) -> None:
        if self.pause_at is not None and any(isinstance(change, self.pause_at) for change in all_changes):
            self.pause_at, self.paused = None, True
            self._go.clear()
            self._turn.set()
            self._go.wait()
        self._store.commit(all_changes, guard)

    def do(self, act: abc.Callable[[], object], after: abc.Callable[[object], None]) -> None:
        """Until it ends or pauses. `after` gets its result, or its error, in the end."""
        self._after = after
        self._turn.clear()

        def run() -> None:
            try:
                self._result = act()
            except KeysvcError as error:
                self._result = error
            self._turn.set()

        self._thread = threading.Thread(target=run, daemon=True)
        begin_thread(self._thread)
        assert self._turn.wait(60)
        if not self.paused:
            self._end()

    def go_on(self) -> None:
        self.pause_at, self.paused = None, False
        self._go.set()
        self._end()

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.join(60)
            self._thread = None
            self._after(self._result)


def well_or_fenced(result: object) -> None:
    assert isinstance(result, bool | Fenced | MasterSecretServerUnavailable | StaleVersion), repr(result)


class Way:
    """From an SSO server to the master that it last found, which may be none any more."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.cut = machine, name, False
        self.master: MasterSecretServer | None = machine.master

    def _answering(self) -> MasterSecretServer:
        if self.cut or self.master is None or self.master not in self.machine.masters or self.master._store.paused:
            raise MasterSecretServerUnavailable("nobody answers")
        return self.master

    def poll(self, held: tuple[VersionId, ...], etag: str | None) -> Announcement | None:
        sent = self.machine.clock.now
        master = self._answering()
        found = master.poll(self.name, "1", master.announced().numbers_of(held))
        self.machine.permitted_until[self.name] = sent + 2 * POLL.total_seconds()
        return None if found.etag == etag else found

    def fetch(self, version: int) -> SecretBytes:
        key = transport.ReceiverKey.generate("X25519")
        sealed = self._answering().fetch(version, key.kem, key.public, self.name, Role.SERVER)
        return key.open(sealed, transport.fetch_context(SYSTEM_ID, version, self.name))

    def leave(self) -> None:
        pass

    def close(self) -> None:
        pass


class Machine(RuleBasedStateMachine):
    """`values` is what each user's credential must be."""

    jumping = False

    @initialize()
    def begin(self) -> None:
        self.ending = contextlib.ExitStack()
        self.clock = Clock()
        folder = self.ending.enter_context(tempfile.TemporaryDirectory(dir=IN_MEMORY))
        self.store = SimulatedStore(self.clock)
        self.ending.callback(self.store.close)
        self.key_store = Plugins().key_stores.open(f"file://{Path(folder)}/secret", None, SYSTEM_ID)
        self.store.prepare()
        administrator = Identity("administrator", Role.ADMINISTRATOR, "1", utc_now())
        lifecycle.configure(self.store, self.key_store, SYSTEM_ID, administrator)  # a thread of its own renews
        self.ending.enter_context(self.clock.rules())
        administration = Administration(self.store, "administrator")
        fields = [Field("User Id", masked=False), Field("Password", masked=True)]
        administration.create_application("SAP", fields, flags=Flags(enabled=True, disable_credential_cache=True))
        self.master: MasterSecretServer | None = None
        self.masters: list[MasterSecretServer] = []
        self.jumped = False
        self.count = 0
        self.permitted_until = dict.fromkeys((*SERVERS, "reader"), 0.0)
        self.poll_at = dict.fromkeys(SERVERS, 0.0)
        self.values: dict[str, str] = {}
        self.states: dict[int, VersionState] = {}
        self.epoch, self.rows = 0, {}
        self.start_a_master()
        self.ways = {name: Way(self, name) for name in SERVERS}
        self.servers = {name: SSO(Process(self.store), way, name) for name, way in self.ways.items()}
        administration.set_mapping("SAP", NEW, NEW, enable=True)
        for user in USERS:
            self.servers["web-1"].set_credential("SAP", user=user, external_user=user, password=f"first of {user}")
            self.values[user] = f"first of {user}"

    def teardown(self) -> None:
        if not hasattr(self, "ending"):
            return
        try:
            if hasattr(self, "values"):  # else it did not begin, and what it raised is the failure
                self.recover()
        finally:
            self.ending.close()

    # -- time ------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([1.0, 6.0, 12.0, 25.0]))
    def time_passes(self, seconds: float) -> None:
        """Who is not paused, killed or cut off does what it does: renews its lease, works, polls."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + TTL.total_seconds() / 3)
            for master in self.running():
                self.renew(master)
            for name in SERVERS:
                if self.clock.now >= self.poll_at[name]:
                    self.poll_at[name] = self.clock.now + POLL.total_seconds()
                    self.poll(name)
            for master in self.running():
                master._store.do(lambda master=master: self.work(master), well_or_fenced)

    def renew(self, master: MasterSecretServer) -> None:
        try:
            master._term.renew()
        except Fenced:
            self.masters.remove(master)
            if master is self.master:
                self.master = None

    @precondition(lambda self: self.jumping)
    @rule(seconds=st.sampled_from([-3600.0, -3.0, 4.0, 3600.0]))
    def the_database_is_given_another_time(self, seconds: float) -> None:
        self.clock.database += seconds
        self.jumped = True

    # -- masters ---------------------------------------------------------------------------------------------------

    def running(self) -> list[MasterSecretServer]:
        return [master for master in self.masters if not master._store.paused]

    @precondition(lambda self: self.store.lease() is None)
    @rule()
    def start_a_master(self) -> None:
        master = MasterSecretServer(Process(self.store), self.key_store, AUTHORITY, poll_interval=POLL, lease_ttl=TTL)
        master.start(lambda _error: None)
        self.masters.append(master)
        self.master = master
        for way in getattr(self, "ways", {}).values():
            way.master = way.master if way.cut else master

    @precondition(lambda self: self.master is not None)
    @rule()
    def kill_the_master(self) -> None:
        if self.master in self.masters and not self.master._store.paused:
            self.masters.remove(self.master)
        self.master = None

    def work(self, master: MasterSecretServer) -> object:
        """A turn of its worker."""
        if not master._term.valid:
            return False
        master._attendance.record()
        more = master.rotation.advance()
        master.announce_if_changed()
        return more

    @precondition(lambda self: bool(self.running()))
    @rule(data=st.data(), where=st.sampled_from([PutVersion, Reencrypt]))
    def a_master_will_be_paused(self, data: st.DataObject, where: type) -> None:
        data.draw(st.sampled_from(self.running()))._store.pause_at = where

    @precondition(lambda self: bool(self.running()))
    @rule(data=st.data())
    def an_administrator_rotates(self, data: st.DataObject) -> None:
        master = data.draw(st.sampled_from(self.running()))
        master._store.do(lambda: bool(master.rotate("administrator")), well_or_fenced)

    @precondition(lambda self: bool(self.running()))
    @rule(data=st.data())
    def an_administrator_destroys(self, data: st.DataObject) -> None:
        master = data.draw(st.sampled_from(self.running()))
        version = min((v for v, state in self.states.items() if state is VersionState.RETIRING), default=0)

        def destroy() -> bool:
            with contextlib.suppress(VersionInUse, VersionNotFound):
                master.destroy(version, "administrator", force=True)
            return True

        master._store.do(destroy, well_or_fenced)

    def paused(self) -> list[Process]:
        processes = [*(m._store for m in self.masters), *(s._store for s in self.servers.values())]
        return [process for process in processes if process.paused]

    @precondition(lambda self: bool(self.paused()))
    @rule(data=st.data())
    def a_paused_process_goes_on(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.paused())).go_on()

    # -- SSO servers -----------------------------------------------------------------------------------------------

    def awake(self, name: str) -> bool:
        return not self.servers[name]._store.paused

    @rule(name=st.sampled_from(SERVERS), cut=st.booleans())
    def the_network_changes(self, name: str, cut: bool) -> None:
        """Who is not cut off finds the newest master; who is, believes in the one that it knew."""
        self.ways[name].cut = cut
        if not cut:
            self.ways[name].master = self.master

    def poll(self, name: str) -> None:
        if self.awake(name):
            with contextlib.suppress(KeysvcError):
                self.servers[name]._poller.poll_now()

    @rule(name=st.sampled_from(SERVERS), user=st.sampled_from(USERS))
    def look_up(self, name: str, user: str) -> None:
        if not self.awake(name):
            return
        sso, row = self.servers[name], self.store.credential("SAP", user)
        held = sso.status().versions_held
        try:
            found = sso.credential("SAP", user=user)["password"].reveal()
        except MasterSecretServerUnavailable:
            assert row.version not in held
        else:
            assert found == self.values[user]

    @rule(name=st.sampled_from(SERVERS), user=st.sampled_from([*USERS, NEW]), paused=st.booleans())
    def write(self, name: str, user: str, paused: bool) -> None:
        if not self.awake(name):
            return
        self.count += 1
        value, sso, began = f"{self.count} of {user}", self.servers[name], self.clock.now

        def written(result: object) -> None:
            if isinstance(result, MasterSecretServerUnavailable):
                assert self.jumped or not sso._cache.permitted, "refused although it was permitted"
            else:
                assert isinstance(result, int), repr(result)
                assert began < self.permitted_until[name], "encrypted without permission"
                self.values[user] = value

        def act() -> int:
            return sso.set_credential("SAP", user=user, password=value)

        sso._store.pause_at = PutCredential if paused else None
        sso._store.do(act, written)

    # -- what holds at every moment --------------------------------------------------------------------------------

    @invariant()
    def only_one_master_believes_in_its_lease(self) -> None:
        """Invariant 1, where no clock was set; where one was, the epoch alone decides."""
        if hasattr(self, "store") and not self.jumped:
            assert sum(master._term.valid for master in self.masters) <= 1

    @invariant()
    def versions_and_epochs_only_grow(self) -> None:
        """Invariants 2, 7: what is known is sealed; and no row comes under what is not active: 4, 6, 8."""
        if not hasattr(self, "servers"):
            return
        order = list(VersionState)
        states = {record.version: record.state for record in self.store.versions()}
        rows, epoch = self.store.rows_by_version(), self.store.epoch()
        for version, state in self.states.items():
            assert order.index(states[version]) >= order.index(state), f"version {version} went back"
            if state in (VersionState.RETIRING, VersionState.DESTROYED):
                assert rows.get(version, 0) <= self.rows.get(version, 0), f"a row came under version {version}"
        live = {version for version, state in states.items() if state is not VersionState.DESTROYED}
        assert list(states.values()).count(VersionState.ACTIVE) == 1
        assert live <= set(self.key_store.versions())
        assert set(rows) <= live
        assert epoch >= self.epoch
        self.states, self.rows, self.epoch = states, rows, epoch

    @invariant()
    def who_may_encrypt_holds_the_active_version(self) -> None:
        """Invariants 3 and 5. A master that was fenced by a clock that was set may permit for a moment longer."""
        if not hasattr(self, "servers") or self.jumped:
            return
        active = self.store.versions().require_active().id
        for name, sso in self.servers.items():
            assert not sso._cache.permitted or active in sso._cache.held(), f"{name} lacks version {active}"

    def recover(self) -> None:
        """Whatever was: everything goes on, a new master finishes, and every credential is what was stored last."""
        while paused := self.paused():
            paused[0].go_on()
        self.masters.clear()
        while self.store.lease() is not None:
            self.clock.sleep(1.0)
        self.start_a_master()
        for _ in range(100):
            self.clock.sleep(1.0)
            self.renew(self.master)
            self.work(self.master)
        reader = SSO(Process(self.store), Way(self, "reader"), "reader")
        for user, value in self.values.items():
            assert reader.credential("SAP", user=user)["password"].reveal() == value
        assert self.store.rows_by_version() == {reader.status().active_version: len(self.values)}
        self.versions_and_epochs_only_grow()


class JumpingMachine(Machine):
    jumping = True


QUICK = settings(max_examples=int(os.environ.get("KEYSVC_TEST_EXAMPLES", "20")), stateful_step_count=30, deadline=None)
TestSimulatedTime = Machine.TestCase
TestSimulatedTime.settings = QUICK
TestSimulatedTimeWithClocksThatAreSet = JumpingMachine.TestCase
TestSimulatedTimeWithClocksThatAreSet.settings = QUICK


# -- the machine notices a guard that is missing --------------------------------------------------------------------


def a_master_is_paused_in_its_activation(machine: Machine) -> None:
    first = machine.master
    first._store.do(lambda: bool(first.rotate("administrator")), well_or_fenced)
    first._store.pause_at = PutVersion
    machine.time_passes(25)
    assert first._store.paused
    machine.start_a_master()
    machine.time_passes(25)
    machine.versions_and_epochs_only_grow()
    machine.master.destroy(1, "administrator", force=True)
    machine.versions_and_epochs_only_grow()
    first._store.go_on()


def a_master_is_paused_in_its_reencryption(machine: Machine) -> None:
    master = machine.master
    master.rotate("administrator")
    master._store.pause_at = Reencrypt
    for _ in range(20):
        machine.time_passes(1)
    assert master._store.paused
    machine.write("web-1", "anna", paused=False)
    master._store.go_on()


def a_writer_is_paused_through_a_rotation(machine: Machine) -> None:
    machine.write("web-1", NEW, paused=True)
    machine.master.rotate("administrator")
    machine.time_passes(50)
    machine.versions_and_epochs_only_grow()
    machine.servers["web-1"]._store.go_on()


def a_server_is_cut_off_and_the_master_rotates(machine: Machine) -> None:
    machine.time_passes(6)
    machine.the_network_changes("web-2", cut=True)
    machine.master.rotate("administrator")
    machine.time_passes(6)


def a_server_is_cut_off_and_writes(machine: Machine) -> None:
    machine.the_network_changes("web-2", cut=True)
    machine.time_passes(25)
    machine.write("web-2", "anna", paused=False)


SCRIPTS = {
    "without_the_epoch": a_master_is_paused_in_its_activation,
    "without_compare_and_swap": a_master_is_paused_in_its_reencryption,
    "without_the_active_version": a_writer_is_paused_through_a_rotation,
    "activating_early": a_server_is_cut_off_and_the_master_rotates,
    "permission_without_end": a_server_is_cut_off_and_writes,
}
BROKEN = (
    (SQLMappingStore, "_check_guard"),
    (SQLMappingStore, "changes"),
    (LiveServers, "waiting_for"),
    (VersionCache, "permitted"),
)


def play(script: abc.Callable[[Machine], None]) -> None:
    machine = Machine()
    try:
        machine.begin()
        script(machine)
        machine.versions_and_epochs_only_grow()
        machine.who_may_encrypt_holds_the_active_version()
    except BaseException:
        machine.ending.close()
        raise
    machine.teardown()


@pytest.mark.parametrize("guard", SCRIPTS)
def test_a_guard_that_is_missing_is_noticed(monkeypatch: pytest.MonkeyPatch, guard: str) -> None:
    play(SCRIPTS[guard])
    for owner, name in BROKEN:
        monkeypatch.setattr(owner, name, getattr(owner, name))  # so that it is put back
    breaking.GUARDS[guard]()
    with pytest.raises(AssertionError):
        play(SCRIPTS[guard])
