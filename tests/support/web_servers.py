"""An agent and a master secret server in this process, over real TLS and a real UNIX socket."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

from systems import SYSTEM_ID, System

from keysvc.crypto import certificates
from keysvc.model import Role, host_name, utc_now
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.sso import SSO
from keysvc.web.agent.admission import Admission
from keysvc.web.agent.app import agent_app
from keysvc.web.agent.client import AgentClient
from keysvc.web.agent.local_socket import LocalCallers, listen_at
from keysvc.web.asgi.long_poll import Waiting
from keysvc.web.asgi.routing import Observe, unobserved
from keysvc.web.asgi.server import Server, listen
from keysvc.web.master.app import JoinInfo, master_app
from keysvc.web.master.client import MasterClient
from keysvc.web.tls.identity_files import IdentityFiles


@dataclass(frozen=True)
class Served:
    """Where it is, and the certificates of those who may ask."""

    url: str
    socket: Path
    identity: IdentityFiles

    def client(self) -> AgentClient:
        return AgentClient(self.url, self.identity, SYSTEM_ID)

    def local_client(self) -> AgentClient:
        return AgentClient.on_socket(str(self.socket))

    def master_client(self) -> MasterClient:
        return MasterClient([self.url], self.identity, SYSTEM_ID)


def certificate(system: System, name: str, role: Role, folder: Path) -> IdentityFiles:
    """Issued by the system's authority; enrolled when the master does not run yet."""
    hosts = [host_name(role, SYSTEM_ID)]
    pair = certificates.issue(system.authority, name, role, now=utc_now(), hosts=hosts)
    files = IdentityFiles(folder / f"identity-{name}")
    files.write(pair.certificate, pair.key, system.authority.certificate)
    return files


def enrolled(system: System, name: str, role: Role, folder: Path) -> IdentityFiles:
    """As `keysvc join` does it."""
    assert system.master is not None
    request, key = certificates.request(name)
    token = system.master.identities.enroll(name, role, "administrator")
    _, issued = system.master.identities.redeem(token.secret, request)
    files = IdentityFiles(folder / f"identity-{name}")
    files.write(issued, key, system.authority.certificate)
    return files


def name_administrators(system: System, accounts: str) -> None:
    """Of the whole system."""
    record = system.store().system()
    assert record is not None
    changed = replace(record, settings=replace(record.settings, administrators=accounts))
    system.store().commit([PutSystem(changed)], UNGUARDED)


@contextlib.contextmanager
def serving_agent(
    system: System,
    sso: SSO,
    folder: Path,
    allowed: tuple[str, ...] = (),
    *,
    administrators: str = "payroll",
    observe: Observe = unobserved,
    read_every: float | None = None,
) -> abc.Iterator[Served]:
    """`read_every` so many seconds the agent reads who is enrolled; else each poll interval."""
    name_administrators(system, administrators)
    own = certificate(system, "web-01", Role.SERVER, folder)
    theirs = enrolled(system, "payroll", Role.APPLICATION, folder)
    at = listen("127.0.0.1", 0)
    path = folder / "agent.sock"
    with contextlib.ExitStack() as ending:
        store = system.store()
        authority = system.authority.certificate
        admission = ending.enter_context(
            Admission(store, SYSTEM_ID, authority, lambda: read_every or sso.poll_interval())
        )
        callers = LocalCallers("web-01", allowed)
        app = agent_app(sso, admission, callers, observe)
        ending.enter_context(Server(app, at, own.server_context()).in_background())
        ending.enter_context(Server(app, listen_at(path), None, knows=callers.knows).in_background())
        yield Served(f"https://127.0.0.1:{at.getsockname()[1]}", path, theirs)


@contextlib.contextmanager
def serving_master(system: System, folder: Path) -> abc.Iterator[Served]:
    """The system's master must run."""
    assert system.master is not None
    own = certificate(system, "master", Role.MASTER, folder)
    theirs = enrolled(system, "boss", Role.ADMINISTRATOR, folder)
    member = SimpleNamespace(active=system.master, step_down=lambda _actor, *, force: None)
    thirty = timedelta(seconds=30)
    facts = JoinInfo(system.system_id, "sqlite:////var/lib/keysvc.db", system.authority.certificate, thirty, thirty)
    app = master_app(member, Waiting(), facts)
    at = listen("127.0.0.1", 0)
    with Server(app, at, own.server_context()).in_background():
        yield Served(f"https://127.0.0.1:{at.getsockname()[1]}", folder, theirs)
