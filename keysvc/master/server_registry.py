"""The servers that are alive, kept in the mapping store too, so that the next master secret server knows of them."""

from __future__ import annotations

from collections import abc
from datetime import timedelta

from keysvc.errors import KeysvcError
from keysvc.master.events import EventKind, event
from keysvc.master.servers import LiveServers, PollRequest
from keysvc.master.term import Term
from keysvc.model import Role, Server
from keysvc.plugin.changes import ForgetServer, SeeServers
from keysvc.plugin.interfaces import MappingStore

FORGET_AFTER = timedelta(days=1)


class Attendance:
    """What polls tell. `saw` and `left` may be called by any thread, the rest by the worker of the master secret server
    alone. Each raises Fenced, MappingStoreError."""

    def __init__(self, store: MappingStore, term: Term, name: str, poll_interval: timedelta) -> None:
        """`live` begins with whom earlier masters knew, but for this one, `name`, as the standby that it was."""
        self._store = store
        self._term = term
        self._not_ready: set[str] = set()
        known = store.servers()
        mine = [server for server in known if server.role is Role.MASTER and server.name == name]
        if mine:
            self._forget(mine)
        self.live = LiveServers([server for server in known if server not in mine], poll_interval)

    def saw(self, said: PollRequest) -> None:
        """It polled. The first time this is recorded before it is permitted to encrypt; where that fails it counts as
        alive all the same, for another poll of it may have been recorded meanwhile."""
        new = self.live.saw(said)
        if new is not None:
            self._record([new])

    def left(self, name: str, instance: str) -> None:
        """It encrypts no more: nobody needs to wait for it."""
        if not self.live.left(name, instance):
            return
        self._term.commit(ForgetServer(name, instance))

    def record(self) -> None:
        """Whom was seen lately."""
        seen = self.live.take_unrecorded()
        if seen:
            try:
                self._record(seen)
            except KeysvcError:
                self.live.record_again(seen)
                raise

    def tell(self) -> None:
        """Of those that fell silent, and of standbys that could not take over; forget who was silent for long."""
        self._tell_of_silent()
        self._tell_of_standbys()
        gone = self.live.long_silent(FORGET_AFTER)
        if gone:
            self._forget(gone)

    def _record(self, servers: abc.Sequence[Server]) -> None:
        self._term.commit(SeeServers(servers))
        self.live.were_recorded(servers)

    def _forget(self, servers: abc.Iterable[Server]) -> None:
        self._term.commit(*(ForgetServer(s.name, s.instance) for s in servers))

    def _tell_of_silent(self) -> None:
        silent = self.live.newly_silent()
        if silent:
            last = [(server.name, f"{server.seen_at:%Y-%m-%d %H:%M:%S} UTC") for server in silent]
            told = [event(EventKind.SERVER_STALE, subject=name, last_seen=at) for name, at in last]
            self._term.commit(*told)

    def _tell_of_standbys(self) -> None:
        problems = {server.name: server.problem for server in self.live.standbys() if server.problem}
        new = [(name, why) for name, why in problems.items() if name not in self._not_ready]
        if new:
            told = [event(EventKind.STANDBY_NOT_READY, subject=name, problem=why) for name, why in new]
            self._term.commit(*told)
        self._not_ready = set(problems)
