"""keysvc as it is installed: a master secret server, SSO servers, applications; each with a folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from benchmarks.system import PASSWORD
from keysvc.cli.demo.processes import Machine, Process, free_port, wait_until
from keysvc.installation import config as configuration
from keysvc.installation.assembly import agent_client, identity, master_client
from keysvc.installation.config import Config

APPLICATION, USER = "APP-0", "user-0"
CALLER = "payroll"
"""What signs on for its users."""


class Installation:
    """In a folder; what is started in it ends with the context."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._ending = contextlib.ExitStack()
        self.master = Machine(folder / "master", folder / "logs")
        self.port = free_port()
        where = ("--dir", str(self.master.directory), "--listen", f"127.0.0.1:{self.port}", "--no-backup")
        self.master.run("init", *where, *options, configured=False)
        self.config = configuration.load(self.master.config)

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def serve(self) -> Process:
        """Start the master secret server; it answers."""
        process = self._ending.enter_context(self.master.start("serve"))
        with contextlib.closing(master_client(self.config)) as client:
            wait_until(lambda: client.status().master is not None, "the master secret server")
        return process

    def join(self, name: str, role: str) -> Config:
        """Enrol a machine."""
        token = json.loads(self.master.run("server", "enroll", name, "--role", role, "--json"))["token"]
        machine = Machine(self._folder / name, self._folder / "logs")
        url, agent = f"https://127.0.0.1:{self.port}", f"127.0.0.1:{free_port()}"
        where = ("--dir", str(machine.directory), "--agent", agent)
        machine.run("join", url, "--token-file", "-", *where, configured=False, stdin=token)
        return configuration.load(machine.config)

    def agent(self, config: Config) -> Process:
        """Start an SSO server; it has the master secret."""
        machine = Machine(config.directory, self._folder / "logs")
        process = self._ending.enter_context(machine.start("agent"))
        with contextlib.closing(agent_client(config)) as client:
            wait_until(lambda: client.status().can_encrypt, "the SSO server")
        return process

    def store_credential(self) -> None:
        """One, that CALLER may look up."""
        fields = json.dumps({label: value.reveal() for label, value in PASSWORD.items()})
        self.master.run("app", "create", APPLICATION, "--administrator-account", CALLER, "--enable")
        self.master.run("mapping", "set", APPLICATION, USER, "U0", "--enable")
        self.master.run("credential", "set", APPLICATION, USER, "--fields-file", "-", stdin=fields)


def identity_folder(config: Config) -> Path:
    """Where a machine keeps its certificate."""
    return identity(config).directory
