"""A real system in this process, over real TLS, with a console in front of it that a browser without script uses."""

from __future__ import annotations

import contextlib
from collections import abc
from dataclasses import replace
from pathlib import Path

import pytest
from keysvc_console.app import console_app
from keysvc_console.gate import Gate
from keysvc_console.reach import Reach
from people import ADMINISTRATORS, AFFILIATES, ROLES, USERS, Directory
from plain_browser import PlainBrowser
from systems import System, configured, eventually
from web_servers import Served, enrolled, serving_agent, serving_master

from keysvc.installation.config import Config
from keysvc.model import Field, Flags, Role
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.sso import SSO
from keysvc.sso.permissions import SSORole
from keysvc.web.asgi.server import Server, listen

FIELDS = [Field("User Id", masked=False), Field("Password", masked=True)]


class Estate:
    """An agent, a master secret server, and consoles of whoever is asked for."""

    def __init__(self, system: System, sso: SSO, agent: Served, master: Served, folder: Path) -> None:
        self.system, self.sso, self.agent, self.master, self.folder = system, sso, agent, master, folder
        self.administration = system.administration()
        self._ending = contextlib.ExitStack()

    def config(self, name: str, role: Role, agent: str | None = None) -> Config:
        directory = self.folder / f"identity-{name}"
        if not directory.exists():
            enrolled(self.system, name, role, self.folder)
        return Config(
            system_id=self.system.system_id,
            mapping_store="sqlite:////nothing/that/is/opened.db",
            master=self.master.url,
            identity=str(directory),
            agent=agent or self.agent.url.removeprefix("https://"),
            path=str(self.folder / "keysvc.toml"),
        )

    def console(self, name: str = "boss", role: Role = Role.ADMINISTRATOR, agent: str | None = None) -> Console:
        reach = Reach(self.config(name, role, agent))
        if agent is None:
            eventually(lambda: reach.rights().problem is None)
        return self._ending.enter_context(Console.serving(reach))

    def of(self, role: SSORole) -> Console:
        """The console of somebody who has a role in the application SAP."""
        name, certificate, _ = ROLES[role]
        return self.console(name, certificate)

    def close(self) -> None:
        self._ending.close()


class Console:
    """One that is served, as `keysvc console` serves it."""

    def __init__(self, reach: Reach, gate: Gate, reports: list[str]) -> None:
        self.reach, self.gate, self.reports = reach, gate, reports
        self.told: list[tuple[str, str]] = []
        gate.tell = lambda address, why: self.told.append((address, why))

    @classmethod
    @contextlib.contextmanager
    def serving(cls, reach: Reach) -> abc.Iterator[Console]:
        at = listen("127.0.0.1", 0)
        gate = Gate(f"http://127.0.0.1:{at.getsockname()[1]}")
        app = console_app(reach, gate)
        with contextlib.closing(reach), Server(app, at, None, knows=lambda _: True).in_background():
            yield cls(reach, gate, app.reports)

    def address(self) -> str:
        return self.gate.new_address("")

    def browser(self) -> PlainBrowser:
        """One that has opened the console."""
        browser = PlainBrowser(self.gate.origin, self.gate.prefix)
        browser.open(self.address())
        browser.get("/")
        return browser


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[Estate]:
    folder = tmp_path_factory.mktemp("estate")
    system = configured(folder)
    system.start()
    directory = Directory({name: {group} for name, _, group in ROLES.values() if group})
    sso, _ = system.sso(authorizer=directory)
    record = system.store().system()
    assert record is not None
    settings = replace(record.settings, affiliate_administrators=AFFILIATES)
    system.store().commit([PutSystem(replace(record, settings=settings))], UNGUARDED)
    with serving_agent(system, sso, folder) as agent, serving_master(system, folder / "master") as master:
        made = Estate(system, sso, agent, master, folder)
        flags = Flags(enabled=True, validate_password=False)
        accounts = {"user_accounts": [USERS], "administrator_accounts": [ADMINISTRATORS]}
        made.administration.create_application("SAP", FIELDS, flags=flags, **accounts)
        for user in ("anna", "bert"):
            made.administration.set_mapping("SAP", user, user.upper(), enable=True)
            made.sso.set_credential("SAP", {"Password": f"geheim-{user}"}, user=user)
        yield made
        made.close()
    system.close()


@pytest.fixture(scope="session")
def commands() -> abc.Callable[[str], str]:
    """What is wrong with a command that is shown, as the tests of the documentation find it."""
    import html
    import importlib.util
    import shlex

    path = Path(__file__).parents[3] / "tests/docs/test_commands_in_docs.py"
    spec = importlib.util.spec_from_file_location("commands_in_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def problem(line: str) -> str:
        first = html.unescape(line).partition(", keysvc ")[0].partition(" > ")[0]
        return str(module.problem(shlex.split(first)))

    return problem


@pytest.fixture
def boss(estate: Estate) -> PlainBrowser:
    """The browser of an SSO administrator."""
    return estate.console().browser()
