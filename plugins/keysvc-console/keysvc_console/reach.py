"""The ways to the system: the HTTP interfaces of an agent and of the master secret server, and nothing else."""

from __future__ import annotations

import threading
from collections import abc
from dataclasses import dataclass, field

from keysvc.errors import KeysvcError
from keysvc.installation.config import Config
from keysvc.model import Role
from keysvc.plugin.clock import elapsed
from keysvc.sso.permissions import CallerRights, Right, Scope
from keysvc.web.agent.client import AgentClient
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import IdentityFiles

REMEMBERED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Rights:
    """What the console offers to whoever started it. `problem` is why the agent did not say."""

    name: str
    certificate: Role
    roles: tuple[str, ...] = ()
    reach: abc.Mapping[str, Scope] = field(default_factory=dict)
    problem: KeysvcError | None = None

    @property
    def administers(self) -> bool:
        """Whether the master secret server takes its orders: only the certificate says so."""
        return self.certificate is Role.ADMINISTRATOR

    def may(self, right: str) -> bool:
        """Whether it has the right for everything that the right is about."""
        return self.reach.get(Right(right).value) is Scope.YES

    def may_own(self, right: str) -> bool:
        """Whether it has the right, at least for what is its own."""
        return Right(right).value in self.reach


class Reach:
    """Both clients of one identity. Thread-safe."""

    def __init__(self, config: Config, agent: str | None = None) -> None:
        identity = IdentityFiles(config.resolve(config.identity))
        peer = identity.peer()
        self.name, self.certificate, self.system_id = peer.name, peer.role, config.system_id
        self.agent_at = agent or config.agent
        self.config_path = config.path
        self.agent = AgentClient(f"https://{self.agent_at}", identity, config.system_id)
        self.master = MasterClient(config.masters, identity, config.system_id)
        self._lock = threading.Lock()
        self._known: dict[str | None, tuple[float, Rights]] = {}

    def rights(self, application: str | None = None) -> Rights:
        """What the caller may do in the system, or in an application. Never raises: without an agent, what the
        certificate itself gives at the master secret server is left."""
        now = elapsed()
        with self._lock:
            known = self._known.get(application)
        if known is not None and now - known[0] < REMEMBERED_SECONDS:
            return known[1]
        try:
            told: CallerRights = self.agent.rights(application)
            found = Rights(told.name, told.certificate, tuple(told.roles), told.rights)
        except KeysvcError as error:
            return Rights(self.name, self.certificate, problem=error)
        with self._lock:
            if len(self._known) >= 1000:
                self._known.clear()
            self._known[application] = now, found
        return found

    def forget_rights(self) -> None:
        """Ask again: they may have been changed."""
        with self._lock:
            self._known.clear()

    def close(self) -> None:
        """Repeatable."""
        self.agent.close()
        self.master.close()
