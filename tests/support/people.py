"""People and programs with certificates of a system, and the groups that they are in."""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass, field
from pathlib import Path

from systems import SYSTEM_ID, System
from web_servers import Served, enrolled

from keysvc.errors import AccessDenied, AuthorizerUnavailable
from keysvc.model import Role
from keysvc.sso.permissions import SSORole
from keysvc.web.agent.client import AgentClient

USERS, ADMINISTRATORS, AFFILIATES = "NORDWIND\\SAP Users", "NORDWIND\\SAP Admins", "NORDWIND\\Affiliate Admins"
SSO_ADMINISTRATORS = "NORDWIND\\SSO Admins"


@dataclass
class Directory:
    """An authorizer whose answers a test changes; while `away`, it has none."""

    groups: dict[str, set[str]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0
    closed: bool = False

    def groups_of(self, name: str) -> abc.Collection[str]:
        self.asked += 1
        if self.away:
            raise AuthorizerUnavailable("the directory does not answer")
        return self.groups.get(name.casefold(), set())

    def close(self) -> None:
        self.closed = True


ROLES = {
    SSORole.SSO_ADMINISTRATOR: ("boss", Role.ADMINISTRATOR, None),
    SSORole.AFFILIATE_ADMINISTRATOR: ("affiliate", Role.APPLICATION, AFFILIATES),
    SSORole.APPLICATION_ADMINISTRATOR: ("keeper", Role.APPLICATION, ADMINISTRATORS),
    SSORole.APPLICATION_USER: ("anna", Role.USER, USERS),
}
"""Who has which role in the application SAP: name, role of the certificate, and the group that gives it."""


def allowed(call: abc.Callable[[], object]) -> bool:
    try:
        call()
    except AccessDenied:
        return False
    return True


class People:
    """Their clients of an agent."""

    def __init__(self, system: System, served: Served, folder: Path) -> None:
        self._system, self._served, self._folder = system, served, folder
        self._clients: dict[str, AgentClient] = {}

    def client(self, name: str, role: Role = Role.USER) -> AgentClient:
        if name not in self._clients:
            files = enrolled(self._system, name, role, self._folder)
            self._clients[name] = AgentClient(self._served.url, files, SYSTEM_ID)
        return self._clients[name]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
