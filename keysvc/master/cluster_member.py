"""One of several master secret servers: a standby until it gets the lease, active while it holds it."""

from __future__ import annotations

import contextlib
import threading
from collections import abc
from datetime import timedelta

from keysvc.errors import Conflict, Fenced, KeysvcError, LeaseHeld, MappingStoreUnavailable, NotActive
from keysvc.master.service import MasterSecretServer
from keysvc.master.standby import Standby
from keysvc.plugin.background import lasting
from keysvc.plugin.clock import elapsed
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.logs import get_logger

log = get_logger("keysvc.cluster")
LONGEST_LOOK_SECONDS = 0.5
"""How often a standby looks at the lease: it takes over so long after it ended, at most."""

MakeMaster = abc.Callable[[], MasterSecretServer]
"""Makes a master secret server, not started; it lives for one lease."""


class Member:
    """Takes the lease when nobody holds it and this machine is ready; serves; is a standby again when the lease is lost
    or handed over. Any thread may call any method."""

    def __init__(
        self,
        store: MappingStore,
        standby: Standby,
        make_master: MakeMaster,
        *,
        lease_ttl: timedelta,
        changed: abc.Callable[[], None],
        failed: abc.Callable[[KeysvcError], None],
    ) -> None:
        """`changed` is called when waiting polls have a new answer; `failed` when it cannot go on."""
        self._store = store
        self._standby = standby
        self._make_master = make_master
        self._ttl = lease_ttl.total_seconds()
        self._changed = changed
        self._failed = failed
        self._active: MasterSecretServer | None = None
        self._valid = False
        self._holder = ""
        self._abstains_until = 0.0
        self._epoch = 0
        self._changing = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._problem = ""
        self._thread = lasting("cluster", self._run, lambda: self._stopping)

    @property
    def active(self) -> MasterSecretServer:
        """This process as the master secret server. Raises NotActive while it is a standby."""
        active = self._active
        if active is None:
            where = self._standby.following
            raise NotActive(f"this is a standby; the master secret server is {where or 'not known yet'}", active=where)
        return active

    @property
    def standby(self) -> Standby:
        """This process as a standby."""
        return self._standby

    def start(self) -> None:
        """Become active at once when that is possible, else a standby. Raises what keeps it from being either, unless
        that is an outage of the mapping store."""
        self._standby.start()
        try:
            self._look()
        except MappingStoreUnavailable as error:
            self._say(str(error))
        self._thread.start()

    def stop(self) -> None:
        """Hand the lease over and end. Repeatable."""
        self._stopping = True
        self._wake.set()
        self._end_term()
        self._standby.stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        self._standby.close()

    def step_down(self, actor: str, *, force: bool) -> None:
        """Hand the lease over to a standby that is ready: nobody notices. Raises NotActive; Conflict when none is
        ready, unless forced."""
        with self._changing:
            active = self.active
            ready = [server for server in active.standbys() if not server.problem]
            if not ready and not force:
                raise Conflict(
                    "no standby is ready to take over",
                    hint="`keysvc cluster status` says why; --force steps down all the same",
                )
            active.record_step_down(actor)
            self._abstains_until = elapsed() + 2 * self._ttl
        self._end_term()
        log.info("stepped down", actor=actor, ready=[server.name for server in ready])

    # -- inside ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(min(LONGEST_LOOK_SECONDS, self._ttl / 10))
            self._wake.clear()
            try:
                self._look()
            except MappingStoreUnavailable as error:
                self._say(str(error))
            except KeysvcError as error:
                self._failed(error)
                return
            except Exception as error:  # noqa: BLE001  the thread that takes over must not end in silence
                self._say(f"unexpected {type(error).__name__}")

    def _look(self) -> None:
        active = self._active
        if active is not None:
            if active.valid != self._valid:
                self._valid = active.valid
                self._changed()
            return
        lease = self._store.lease()
        if lease is not None and lease.epoch == self._epoch:
            return  # of its own term, which ends at this moment: it says nothing of who comes next
        self._standby.follow(lease.url if lease else "")
        if lease is not None:
            if lease.holder != self._holder:
                log.info("this is a standby; another is the master secret server", holder=lease.holder, url=lease.url)
            self._holder = lease.holder
            self._abstains_until = 0.0
            self._say("")
        elif elapsed() >= self._abstains_until:
            self._take_the_lease()

    def _take_the_lease(self) -> None:
        problem = self._standby.why_not_ready()
        self._say(
            f"nobody is the master secret server, and this standby cannot take over: {problem}" if problem else ""
        )
        if problem:
            return
        with self._changing:
            if self._stopping:
                return
            master = self._make_master()
            try:
                master.start(self._lost, wait=False)
            except (LeaseHeld, Fenced):  # another was quicker, or it slept through its lease before it had begun
                return
            self._active, self._valid, self._epoch = master, True, master.epoch
        log.info("this is the master secret server now", epoch=self._epoch)
        with contextlib.suppress(KeysvcError):  # it is told; what it tells of has happened all the same
            master.took_over(self._holder)

    def look_soon(self) -> None:
        """The one that was followed went away, perhaps."""
        self._wake.set()

    def _lost(self, error: Fenced) -> None:
        log.warning("another is the master secret server now; this one is a standby", problem=str(error))
        self._end_term()

    def _end_term(self) -> None:
        with self._changing:
            active, self._active = self._active, None
        if active is not None:  # not under the lock: it waits for the thread that renews, which may come here as well
            active.stop()
            self._changed()
            self._wake.set()

    def _say(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("the master secret server tries again", problem=problem)
        self._problem = problem
