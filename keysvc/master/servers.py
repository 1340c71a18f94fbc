"""Which SSO servers are alive, and which versions each of them holds. In memory: a poll costs no database work."""

from __future__ import annotations

import threading
import time
from collections import Counter, abc
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from keysvc.errors import MasterSecretServerUnavailable, RateLimited
from keysvc.model import Role, Server, permission_length, utc_now
from keysvc.plugin.allowance import RateLimit

MOST_INSTANCES = 256
"""How many processes of one certificate may be alive."""
NEW_PER_MINUTE = 30
"""How many more of them may begin each minute once so many did."""


class PollRequest(msgspec.Struct, frozen=True):
    """What a process says of itself when it polls: a server, but for when it was seen. Cheap to make and to compare."""

    name: str
    instance: str
    versions_held: tuple[int, ...]
    role: Role = Role.SERVER
    url: str = ""
    problem: str = ""
    schema_version: int = 1


@dataclass(slots=True)
class _Seen:
    said: PollRequest
    at: float  # monotonic
    before: datetime | None = None  # it was seen then, and not by this process

    @property
    def server(self) -> Server:
        said = self.said
        seen_at = self.before or utc_now() - timedelta(seconds=time.monotonic() - self.at)
        rest = said.role, said.url, said.problem, said.schema_version
        return Server(said.name, said.instance, said.versions_held, seen_at, *rest)


class LiveServers:
    """Thread-safe.

    A server counts as live until its permission to encrypt has surely lapsed. Servers known from before this process
    began count as seen when it began: their last poll may never have been recorded.
    """

    def __init__(self, known: abc.Iterable[Server], poll_interval: timedelta) -> None:
        now = time.monotonic()
        self._permission = permission_length(poll_interval).total_seconds()
        self._seen = {(server.name, server.instance): _Seen(_said(server), now, server.seen_at) for server in known}
        self._recorded = set(self._seen)
        self._unrecorded: set[tuple[str, str]] = set()
        self._needed: int | None = None
        self._demanded, self._demanded_until = 0, 0.0
        self._instances = Counter(name for name, _ in self._seen)
        self._new = RateLimit(MOST_INSTANCES, NEW_PER_MINUTE)
        self._gone: list[Server] = []
        self._silent: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def saw(self, said: PollRequest) -> Server | None:
        """A server polled. Returned when it must be recorded before it gets its answer: nothing of it was yet. Raises
        MasterSecretServerUnavailable while a version becomes active that it does not hold, or has waited for it for
        long; RateLimited when more processes than may be share its certificate."""
        key = (said.name, said.instance)
        with self._lock:
            if self._needed is not None and self._needed not in said.versions_held:
                raise MasterSecretServerUnavailable(f"version {self._needed} becomes active at this moment")
            if self._is_overdue(said):
                raise MasterSecretServerUnavailable(f"version {self._demanded} was announced long ago: fetch it first")
            if key not in self._seen:
                self._admit_instance(said.name)
            seen = self._seen[key] = _Seen(said, time.monotonic())
            self._unrecorded.add(key)
            self._silent.discard(key)
            return None if key in self._recorded else seen.server

    def saw_again(self, said: PollRequest) -> bool:
        """A server polled. False, and nothing changes, unless it was recorded before and says what it said then, and no
        version becomes active: else it is for `saw`."""
        key = (said.name, said.instance)
        with self._lock:
            seen = self._seen.get(key)
            if seen is None or seen.said != said or key not in self._recorded or self._needed is not None:
                return False
            if self._is_overdue(said):
                return False
            seen.at, seen.before = time.monotonic(), None
            self._unrecorded.add(key)
            self._silent.discard(key)
            return True

    def left(self, name: str, instance: str) -> bool:
        """A server said goodbye: it encrypts no more. False when it was not known."""
        with self._lock:
            return self._forget((name, instance)) is not None

    def standbys(self) -> abc.Sequence[Server]:
        """The standbys that are alive."""
        now = time.monotonic()
        with self._lock:
            return [
                seen.server
                for seen in self._seen.values()
                if seen.said.role is Role.MASTER and now - seen.at <= self._permission
            ]

    def schema_versions(self) -> dict[tuple[str, str], int]:
        """The newest schema that each server knows, by name and instance; of those that polled within a day."""
        with self._lock:
            return {key: seen.said.schema_version for key, seen in self._seen.items()}

    def waiting_for(self, version: int, *, overdue: bool = False) -> abc.Sequence[Server]:
        """The servers that may still encrypt and do not hold `version`, and the standbys that will soon: one that says
        that it cannot is not waited for. When there is none, none comes to be until `activated`: a server that was
        away, or is new, gets no answer meanwhile.

        Once it is `overdue`, and a server of another certificate could fetch it, servers without it get no answer
        either: their permission to encrypt ends, and no single one delays a rotation for ever."""
        now = time.monotonic()
        with self._lock:
            waiting = [
                seen.server
                for seen in self._seen.values()
                if version not in seen.said.versions_held
                and now - seen.at <= self._permission
                and not seen.said.problem
            ]
            self._needed = None if waiting else version
            if overdue and self._others_hold(version, {server.name for server in waiting}):
                self._demanded, self._demanded_until = version, now + self._permission
            return waiting

    def _others_hold(self, version: int, names: abc.Collection[str]) -> bool:
        """Whether a server of none of these names holds it: then it can be fetched."""
        now = time.monotonic()
        return any(
            seen.said.name not in names
            and seen.said.role is Role.SERVER
            and version in seen.said.versions_held
            and now - seen.at <= self._permission
            for seen in self._seen.values()
        )

    def _is_overdue(self, said: PollRequest) -> bool:
        demanded = time.monotonic() < self._demanded_until and said.role is not Role.MASTER
        return demanded and self._demanded not in said.versions_held

    def _admit_instance(self, name: str) -> None:
        """Those whose permission to encrypt has ended make room. Raises RateLimited."""
        if self._instances[name] >= MOST_INSTANCES:
            now = time.monotonic()
            ended = [k for k, seen in self._seen.items() if k[0] == name and now - seen.at > self._permission]
            self._gone.extend(seen.server for seen in map(self._forget, ended) if seen is not None)
        if self._instances[name] >= MOST_INSTANCES:
            raise RateLimited(f"{name} has {MOST_INSTANCES} live processes, and no more may share its certificate")
        self._new.spend(name)
        self._instances[name] += 1

    def _forget(self, key: tuple[str, str]) -> _Seen | None:
        self._recorded.discard(key)
        self._unrecorded.discard(key)
        found = self._seen.pop(key, None)
        if found is not None:
            self._instances[key[0]] -= 1
        return found

    def activated(self) -> None:
        """What is announced now has it, or it was not made active: every server gets its answer again."""
        with self._lock:
            if self._needed is not None:
                self._demanded_until = 0.0
            self._needed = None

    def newly_silent(self) -> abc.Sequence[Server]:
        """The servers whose permission to encrypt ended, without a goodbye, since the last call."""
        now = time.monotonic()
        with self._lock:
            silent = {key for key, seen in self._seen.items() if now - seen.at > self._permission}
            new = sorted(silent - self._silent)
            self._silent = silent
            return [self._seen[key].server for key in new]

    def take_unrecorded(self) -> abc.Sequence[Server]:
        """The servers seen since the last call."""
        with self._lock:
            servers = [self._seen[key].server for key in sorted(self._unrecorded)]
            self._unrecorded.clear()
            return servers

    def record_again(self, servers: abc.Iterable[Server]) -> None:
        """Recording them failed."""
        with self._lock:
            self._unrecorded.update({(s.name, s.instance) for s in servers}.intersection(self._seen))

    def were_recorded(self, servers: abc.Iterable[Server]) -> None:
        """In the mapping store, where the next master secret server finds them."""
        with self._lock:
            self._recorded.update({(s.name, s.instance) for s in servers}.intersection(self._seen))

    def long_silent(self, age: timedelta) -> abc.Sequence[Server]:
        """Forget, and return, the servers that were silent for `age`."""
        now = time.monotonic()
        with self._lock:
            old = [key for key, seen in self._seen.items() if now - seen.at > age.total_seconds()]
            gone = [*self._gone, *(seen.server for seen in map(self._forget, old) if seen is not None)]
            self._gone.clear()
            return gone


def _said(server: Server) -> PollRequest:
    rest = server.role, server.url, server.problem, server.schema_version
    return PollRequest(server.name, server.instance, server.versions_held, *rest)
