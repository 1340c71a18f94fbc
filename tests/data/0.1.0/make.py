"""Make this data set with the code of release 0.1.0: see README.md. It overwrites what is here.

python make.py CHECKOUT, where CHECKOUT is a checkout of release 0.1.0 with its plugins
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import abc
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = "/var/lib/keysvc"
"""Where keysvc.toml says that the system is."""

PASSPHRASE = "correct horse battery staple"
APPLICATIONS = {
    "SAP": ["--allow-tickets", "--enable", "--field", "Client", "--masked", "Password", "--contact", "sap@example.org"],
    "Größen & Maße": ["--enable", "--description", "ein Name, der nicht ASCII ist"],
    "メール": ["--enable", "--masked", "Password", "--masked", "PIN"],
    "EDI": ["--type", "group", "--enable", "--user-account", "Purchasing"],
    "Mainframe": ["--type", "host-group", "--enable", "--user-account", "HOSTGROUP"],
    "Adapters": ["--type", "config-store", "--field", "Host", "--masked", "Password", "--enable"],
    "Left over": ["--description", "deleted at the end"],
}
USERS = ["anna.weber", "NORDWIND\\Jürgen.Groß", "Ζωή", "наташа", "李雷", "user 👍", "o'brien; --"]
CREDENTIALS = [
    *(("SAP", user, {"Client": "100", "Password": f"geheim-{n}"}) for n, user in enumerate(USERS)),
    *(("Größen & Maße", user, {"Password": f"Maß-{n} €"}) for n, user in enumerate(USERS[:4])),
    *(("メール", user, {"Password": f"密-{n}", "PIN": f"{n:04}"}) for n, user in enumerate(USERS[2:])),
    ("EDI", "Purchasing", {"Password": "edi-geheim"}),
]
BAG = {"Host": "ftp.example.org", "Password": "bag-geheim"}
ENROLLED = {"web-01": "server", "web-02": "server", "payroll": "application"}


class Release:
    """Commands of release 0.1.0 on the system in `folder`."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.folder, self.config = folder, folder / "keysvc.toml"
        plugins = [path for path in (checkout / "plugins").iterdir() if path.is_dir()]
        paths = os.pathsep.join(map(str, [checkout, *plugins]))
        home = {"HOME": str(folder.parent), "KEYSVC_PASSPHRASE": PASSPHRASE, "PYTHONPATH": paths}
        self._env = {**{name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}, **home}

    def __call__(self, *arguments: object, stdin: str = "") -> str:
        command = [sys.executable, "-m", "keysvc", *map(str, arguments)]
        done = subprocess.run(command, input=stdin, env=self._env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def on(self, *arguments: object, stdin: str = "") -> str:
        return self("--config", self.config, *arguments, stdin=stdin)

    @contextlib.contextmanager
    def serving(self) -> abc.Iterator[None]:
        server = subprocess.Popen([sys.executable, "-m", "keysvc", "--config", self.config, "serve"], env=self._env)
        try:
            while json.loads(self.on("status", "--json"))["state"] not in {"ready", "rotating", "degraded"}:
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            server.wait()


def fill(keysvc: Release) -> None:
    """Everything that a system in use has."""
    keysvc("init", "--dir", keysvc.folder, "--no-backup", "--listen", "127.0.0.1:7443", "--poll-interval", "500ms")
    assert keysvc("--version").split() == ["keysvc", "0.1.0"]
    text = keysvc.config.read_text("utf-8")
    keysvc.config.write_text(f'notifiers = ["webhook+https://127.0.0.1:9/refused"]\n{text}', "utf-8")
    with keysvc.serving():
        for name, options in APPLICATIONS.items():
            keysvc.on("app", "create", name, *options)
        for application, user, fields in CREDENTIALS[::2]:
            set_credential(keysvc, application, user, fields)
        keysvc.on("config-store", "set", "Adapters", "ftp", "--properties-file", "-", stdin=json.dumps(BAG))
        keysvc.on("secret", "rotate", "--wait")
        for application, user, fields in CREDENTIALS[1::2]:
            set_credential(keysvc, application, user, fields)
        keysvc.on("mapping", "set", "SAP", "only mapped", "ONLY", "--enable")
        keysvc.on("app", "delete", "Left over", "--yes")
        keysvc.on("mapping", "set", "Mainframe", "HOSTGROUP", "HOST", "--enable")
        keysvc.on("role", "set", "affiliate-administrator", "Operators", "Größen-Team")
        tokens = {name: keysvc.on("server", "enroll", name, "--role", role) for name, role in ENROLLED.items()}
        for name, token in tokens.items():
            if name != "web-02":
                where = keysvc.folder.parent / name
                keysvc("join", "https://127.0.0.1:7443", "--token", token.strip(), "--dir", where)
        keysvc.on("server", "revoke", "payroll")
        leave_a_server_behind(keysvc, keysvc.folder.parent / "web-01" / "keysvc.toml")
        ticket = json.loads(keysvc.on("ticket", "issue", "--user", USERS[0], "--json"))["ticket"]
        keysvc.on("ticket", "redeem", "SAP", "--ticket-file", "-", "--sender", USERS[0], stdin=ticket)
        (HERE / "backup.age").unlink(missing_ok=True)
        keysvc.on("secret", "backup", HERE / "backup.age")
        keysvc.on("audit", "verify")


def leave_a_server_behind(keysvc: Release, config: Path) -> None:
    """One that polled and never said goodbye."""
    agent = subprocess.Popen([sys.executable, "-m", "keysvc", "--config", config, "agent"], env=keysvc._env)
    while not any(server["name"] == "web-01" for server in json.loads(keysvc.on("status", "--json"))["servers"]):
        time.sleep(0.2)
    agent.kill()
    agent.wait()


def set_credential(keysvc: Release, application: str, user: str, fields: dict[str, str]) -> None:
    keysvc.on("mapping", "set", application, user, external(application, user), "--enable")
    keysvc.on("credential", "set", application, user, "--fields-file", "-", stdin=json.dumps(fields))


def external(application: str, user: str) -> str:
    """A user id that follows from the names."""
    return f"{user.upper()}@{application}"


def dump(keysvc: Release, checkout: Path) -> str:
    """The same system in PostgreSQL, as plain SQL."""
    sys.path.insert(0, str(checkout / "tests" / "support"))
    from postgresql_server import start_or_skip

    server = start_or_skip()
    try:
        url = server.new_database()
        keysvc.on("mapping-store", "migrate", "--to", url)
        name = url.rpartition("/")[2]
        command = ["pg_dump", "--no-owner", "--no-privileges", "-h", server.folder, "-p", server.port, "-U", "postgres"]
        done = subprocess.run([*map(str, command), name], capture_output=True, text=True, check=True)
    finally:
        server.remove()
    return "\n".join(
        line for line in done.stdout.splitlines() if not line.startswith(("--", "\\restrict", "\\unrestrict"))
    )


def main(checkout: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        keysvc = Release(checkout, Path(temporary) / "system")
        fill(keysvc)
        with contextlib.closing(sqlite3.connect(keysvc.folder / "keysvc.db")) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        system = HERE / "system"
        shutil.rmtree(system, ignore_errors=True)
        shutil.copytree(keysvc.folder, system, ignore=shutil.ignore_patterns("*-wal", "*-shm", "*.lock"))
        text = keysvc.config.read_text("utf-8").replace(str(keysvc.folder), FOLDER)
        (system / keysvc.config.name).write_text(text, "utf-8")
        expected = {
            "passphrase": PASSPHRASE,
            "credentials": [[*each[:2], external(*each[:2]), each[2]] for each in CREDENTIALS],
            "bag": BAG,
            "identities": sorted(ENROLLED),
        }
        (HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n", "utf-8")
        (HERE / "postgresql.sql").write_text(dump(keysvc, checkout) + "\n", "utf-8")
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and path.suffix != ".py":
            print(f"{path.relative_to(HERE)} {path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
