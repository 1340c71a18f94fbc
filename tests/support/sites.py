"""A master machine as its operator sees it: real processes, real TLS."""

from __future__ import annotations

import json
from pathlib import Path

from systems import TELLING_OF_LEAKS, Ended, Keysvc, end_closed, eventually

import keysvc
from keysvc.cli.demo.processes import Machine, Process, free_port
from keysvc.cli.status import as_contract, read
from keysvc.installation import config as configuration

USERS = {f"user-{number}": f"geheim-{number}" for number in range(5)}


class Site:
    """One master machine, as its operator sees it."""

    def __init__(self, folder: Path, keysvc: Keysvc) -> None:
        self.folder, self._keysvc = folder, keysvc
        self.machine = Machine(folder / "master", folder / "logs", TELLING_OF_LEAKS)
        self.running: list[Process] = []

    def __call__(
        self, *arguments: object, stdin: str = "", ok: bool | None = True, env: dict[str, str] | None = None
    ) -> Ended:
        done = self._keysvc("--config", self.machine.config, *arguments, stdin=stdin, env=env)
        assert ok is None or (done.status == 0) == ok, done.err
        if ok is False:
            assert done.status == 1
            assert done.err.splitlines()[-1].startswith("error: ")
            assert "Traceback" not in done.err
        return done

    def init(self, *more: object) -> Ended:
        where = ("--dir", self.machine.directory, "--listen", f"127.0.0.1:{free_port()}")
        done = self._keysvc("init", *where, "--poll-interval", "500ms", "--lease-ttl", "2s", *more)
        assert done.status == 0, done.err
        return done

    def serve(self) -> Process:
        process = self.machine.start("serve")
        self.running.append(process)
        eventually(lambda: self.state()["state"] in ("ready", "rotating") or process.popen.poll() is not None)
        return process

    def serve_degraded(self) -> Process:
        process = self.machine.start("serve")
        self.running.append(process)
        eventually(lambda: any("version 1" in problem for problem in self.state()["problems"]))
        return process

    def state(self) -> dict:
        """What `keysvc status --json` prints, without a process of its own: it is asked again and again."""
        return json.loads(json.dumps(as_contract(read(configuration.load(self.machine.config)))))

    def end(self) -> None:
        end_closed(self.running)


def joined(site: Site, keysvc: Keysvc, name: str, role: str, agent: str) -> Machine:
    """The machine of somebody who was enrolled at a site; `agent` is the address that its configuration names."""
    made = json.loads(site("server", "enroll", name, "--role", role, "--json").out)
    machine = Machine(site.folder / name, site.folder / "logs")
    done = keysvc(
        "join", made["url"], "--token-file", "-", "--dir", machine.directory, "--agent", agent, stdin=made["token"]
    )
    assert done.status == 0, done.err
    return machine


def with_credentials(site: Site) -> None:
    """Serve, store a credential for each user, half of them before a rotation; stop."""
    serving = site.serve()
    site("app", "create", "SAP", "--enable")
    with keysvc.connect(site.machine.config) as sso:
        for number, (user, password) in enumerate(USERS.items()):
            if number == 3:
                site("secret", "rotate", "--wait")
            sso.set_credential("SAP", user=user, external_user=user.upper(), Password=password)
    serving.end()


def assert_every_credential_decrypts(site: Site) -> None:
    """After a restart, so that nothing is in memory."""
    serving = site.serve()
    assert site.state()["state"] == "ready"
    with keysvc.connect(site.machine.config) as sso:
        for user, password in USERS.items():
            assert sso.credential("SAP", user=user)["Password"].reveal() == password
    serving.end()
