"""The whole story on this machine, as separate processes: what `keysvc demo` runs.

A master secret server and two SSO servers; 1,200 mappings of 6 applications; look-ups all the time, through a rotation,
through the death of the master, through the loss of its key store.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sys
import tempfile
import time
from collections import abc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from keysvc.cli.demo.key_stores import AtURL, chosen
from keysvc.cli.demo.lookups import Lookups
from keysvc.cli.demo.processes import DemoFailed, Machine, Process, free_port, wait_until
from keysvc.errors import MasterSecretServerUnavailable
from keysvc.installation import config as configuration
from keysvc.installation.assembly import identity, master_client
from keysvc.model import CredentialKey
from keysvc.web.agent.client import AgentClient

POLL_INTERVAL, LEASE_TTL = "1s", "3s"
WRITERS = 4
SSO_SERVERS = ("web-01", "web-02")
APPLICATION = "demo-application"
ADMINISTRATORS = "NORDWIND\\SSO Affiliate Administrators"
"""The group that the imported system calls so; the application is put into it, and so administers every application."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the story showed."""

    applications: int
    imported_mappings: int
    lookups: int
    failed_lookups: int
    rotated_from: int
    rotated_to: int
    reencrypted: int
    lookups_while_master_down: int
    encrypt_refused_while_master_down: bool
    restored_from_backup: bool
    seconds: float


Say = abc.Callable[[str], None]


def tell(
    *,
    quiet: bool = False,
    mapping_store: str | None = None,
    key_store: str = "file",
    notifiers: abc.Sequence[str] = (),
) -> Summary:
    """Run it in a temporary folder, which is removed; say each step on stderr unless `quiet`.

    `mapping_store` is the URL of an empty database, in which the demo leaves what it wrote; `key_store` is file,
    softhsm or the URL of an empty key store, which is empty again afterwards; `notifiers` are URLs.
    """
    folder = Path(tempfile.mkdtemp(prefix="keysvc-demo-"))
    try:
        return Story(folder, (lambda _: None) if quiet else _say, mapping_store, key_store, notifiers).tell()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(step: str) -> None:
    print(f"  {step}", file=sys.stderr, flush=True)  # noqa: T201  the demo talks to a person


class Story:
    """`secrets` are all that it used, `machines` all that it ran on: a test looks where no secret may be."""

    def __init__(
        self,
        folder: Path,
        say: Say,
        mapping_store: str | None = None,
        key_store: str = "file",
        notifiers: abc.Sequence[str] = (),
    ) -> None:
        self.secrets: list[str] = []
        self.machines: dict[str, Machine] = {}
        self._folder = folder
        self._say = say
        self._key_store = chosen(key_store, folder)
        self._notifiers = tuple(notifiers)
        self._where = ("--mapping-store", mapping_store) if mapping_store else ()
        self._passwords: dict[CredentialKey, dict[str, str]] = {}
        self._passphrase = folder / "passphrase"

    def tell(self) -> Summary:
        """From an empty folder to a restored system."""
        began = time.monotonic()
        with ExitStack() as self._ending:
            self._configure()
            self._enrol()
            applications, mappings = self._import()
            self._store_credentials()
            self._lookups = self._ending.enter_context(Lookups(self._agents, self._passwords))
            rotated_from, rotated_to, reencrypted = self._rotate()
            meanwhile, refused = self._kill_the_master()
            restored = self._lose_the_key_store()
            self._lookups.stop()
        return Summary(
            applications=applications,
            imported_mappings=mappings,
            lookups=self._lookups.done,
            failed_lookups=len(self._lookups.failures),
            rotated_from=rotated_from,
            rotated_to=rotated_to,
            reencrypted=reencrypted,
            lookups_while_master_down=meanwhile,
            encrypt_refused_while_master_down=refused,
            restored_from_backup=restored,
            seconds=round(time.monotonic() - began, 1),
        )

    def _configure(self) -> None:
        self._say("configuring a master secret server")
        self._master = self._machine("master", self._key_store.environment)
        self._master.run(
            *("init", "--dir", str(self._master.directory), "--no-backup"),
            *("--listen", f"127.0.0.1:{free_port()}", "--poll-interval", POLL_INTERVAL, "--lease-ttl", LEASE_TTL),
            *self._where,
            *self._key_store.options,
            configured=False,
        )
        if isinstance(self._key_store, AtURL):
            self._ending.callback(self._key_store.lose)
        self._config = configuration.change(self._master.config, {"notifiers": ("log:", *self._notifiers)})
        self._client = master_client(self._config)
        self._ending.callback(self._client.close)
        self._serving = self._serve()

    def _machine(self, name: str, environment: abc.Mapping[str, str] | None = None) -> Machine:
        self.machines[name] = Machine(self._folder / name, self._folder / "logs", environment or {})
        return self.machines[name]

    def _serve(self) -> Process:
        process = self._ending.enter_context(self._master.start("serve"))
        wait_until(lambda: self._client.status().master is not None, "the master secret server")
        return process

    def _enrol(self) -> None:
        self._say("enrolling two SSO servers, and an application that signs on through them")
        own = identity(self._join(APPLICATION, "application"))
        groups = self._folder / "groups.toml"
        groups.write_text(f"[groups]\n'{ADMINISTRATORS}' = ['{APPLICATION}']\n", "utf-8")
        self._agents: dict[str, AgentClient] = {}
        self._serving_agents: dict[str, Process] = {}
        for name in SSO_SERVERS:
            config = self._join(name, "server")
            configuration.change(
                self.machines[name].config, {"authorizer": f"static:{groups.as_uri().removeprefix('file:')}"}
            )
            self._agents[name] = AgentClient(f"https://{config.agent}", own, config.system_id)
            self._ending.callback(self._agents[name].close)
            self._start_agent(name)

    def _join(self, name: str, role: str) -> configuration.Config:
        made = json.loads(self._master.run("server", "enroll", name, "--role", role, "--json"))
        self.secrets.append(made["token"].rpartition(".")[2])
        machine = self._machine(name)
        machine.run(
            *("join", made["url"], "--token-file", "-", "--dir", str(machine.directory)),
            *("--agent", f"127.0.0.1:{free_port()}"),
            *self._where,
            configured=False,
            stdin=made["token"],
        )
        return configuration.load(machine.config)

    def _start_agent(self, name: str) -> None:
        self._serving_agents[name] = self._ending.enter_context(self.machines[name].start("agent"))
        wait_until(lambda: self._agents[name].status().can_encrypt, f"the SSO server {name}")

    def _import(self) -> tuple[int, int]:
        self._say("importing the applications and mappings of an Enterprise SSO system")
        with resources.as_file(resources.files("keysvc.cli.demo") / "data") as data:
            self._master.run("app", "import", str(data / "global-info.xml"))
            applications = json.loads(self._master.run("app", "import", str(data / "applications.xml"), "--json"))
            mappings = json.loads(
                self._master.run("mapping", "import", str(data / "mappings.xml"), "--enable", "--json")
            )
        return applications["created"], mappings["created"]

    def _store_credentials(self) -> None:
        for application in json.loads(self._master.run("app", "list", "--json")):
            name, labels = application["name"], [field["label"] for field in application["fields"][1:]]
            if not application["flags"]["enabled"]:
                self._master.run("app", "enable", name)
            for mapping in json.loads(self._master.run("mapping", "list", name, "--json")):
                self._passwords[CredentialKey(name, mapping["user"])] = {label: self._secret() for label in labels}
        self._say(f"storing {len(self._passwords):,} credentials through both SSO servers")
        agents = list(self._agents.values())

        def put(numbered: tuple[int, CredentialKey]) -> None:
            number, key = numbered
            agents[number % len(agents)].set_credential(key.application, self._passwords[key], user=key.user)

        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(put, enumerate(self._passwords)))

    def _secret(self) -> str:
        made = secrets.token_urlsafe(18)
        self.secrets.append(made)
        return made

    def _rotate(self) -> tuple[int, int, int]:
        self._say("rotating the master secret while applications look credentials up")
        before = self._client.status()
        self._master.run("secret", "rotate", "--wait")
        after = self._client.status()
        moved = next(version.rows for version in after.versions if version.version == after.active_version)
        return before.active_version or 0, after.active_version or 0, moved

    def _kill_the_master(self) -> tuple[int, bool]:
        self._say("killing the master secret server: look-ups go on, encrypting stops")
        lookups = self._lookups.done
        self._serving.kill()
        agent = self._agents[SSO_SERVERS[0]]
        wait_until(lambda: not agent.status().can_encrypt, "the end of the permission to encrypt")
        refused = self._is_refused(agent)
        time.sleep(1)
        meanwhile = self._lookups.done - lookups
        self._say("restarting it")
        self._serving = self._serve()
        wait_until(lambda: agent.status().can_encrypt, "a new permission to encrypt")
        self._change_one(agent)
        return meanwhile, refused

    def _is_refused(self, agent: AgentClient) -> bool:
        try:
            self._change_one(agent)
        except MasterSecretServerUnavailable:
            return True
        return False

    def _change_one(self, agent: AgentClient) -> None:
        """Store what is stored already: look-ups of it stay right."""
        key = next(iter(self._passwords))
        agent.set_credential(key.application, self._passwords[key], user=key.user)

    def _lose_the_key_store(self) -> bool:
        self._say("backing up, losing the key store, restoring it")
        backup = self._folder / "keysvc-backup.age"
        passphrase = self._secret()
        self._passphrase.write_text(passphrase)
        given = ("--passphrase-file", str(self._passphrase))
        self._master.run("secret", "backup", str(backup), *given)
        self._master.run("secret", "rehearse", str(backup), *given)
        self._serving.end()
        self._key_store.lose()
        self._master.run("secret", "restore", str(backup), *given)
        self._serving = self._serve()
        return self._works_after_a_restart(SSO_SERVERS[1])

    def _works_after_a_restart(self, name: str) -> bool:
        """An SSO server that starts with an empty memory gets every version from what was restored."""
        self._lookups.pause(name)
        self._serving_agents[name].end()
        self._start_agent(name)
        self._change_one(self._agents[name])
        before = len(self._lookups.failures)
        self._lookups.resume(name)
        time.sleep(1)
        status = self._client.status()
        if status.problems:
            raise DemoFailed(status.problems[0])
        return len(self._lookups.failures) == before
