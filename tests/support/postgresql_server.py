"""A real PostgreSQL server of the tests' own: on a free port, under a user that is not root, gone afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

MEMORY = ("max_connections=200", "shared_buffers=64MB", "fsync=off")
SETTINGS = ("listen_addresses=127.0.0.1", "log_min_messages=fatal", *MEMORY)


class PostgreSQLServer:
    """Started by the constructor. Data lives through `kill` and `restart`, and goes with `remove`."""

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        self._user = _other_than_root()
        self.folder = Path(tempfile.mkdtemp(prefix="keysvc-postgresql-"))
        if self._user:
            shutil.chown(self.folder, self._user)
        self._data = self.folder / "data"
        self._numbers = itertools.count(1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._run(
            "initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-D", self._data
        )
        self.start()

    def start(self) -> None:
        """And wait until it answers."""
        settings = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"port={self.port}"))
        log = self.folder / "log"
        options = f"{settings} -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "start", "-w", "-s", "-D", self._data, "-l", log, "-o", options)

    def restart(self) -> None:
        """As an administrator does it: every connection is cut."""
        self.stop()
        self.start()

    def stop(self) -> None:
        """Cut every connection and end."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "fast", "-D", self._data)

    def kill(self) -> None:
        """As a power failure does it: every process of the server at once."""
        postmaster = int((self._data / "postmaster.pid").read_text("utf-8").split()[0])
        processes = [postmaster, *children_of(postmaster)]
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        while any(lives(process) for process in processes):
            time.sleep(0.01)
        for stale in (self._data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            stale.unlink()  # the server would clear them itself, were there an init process that takes in the dead

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"test{next(self._numbers)}"
        self.query(f'CREATE DATABASE "{name}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def copy_database(self, url: str) -> str:
        """The URL of a copy of one that nobody is connected to."""
        name, template = f"test{next(self._numbers)}", url.rpartition("/")[2]
        self.query(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def query(self, statement: str, database: str = "postgres") -> str:
        """What psql prints."""
        where = ("-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database)
        return self._run("psql", "-X", "-q", "-A", "-t", *where, "-c", statement)

    def load(self, script: Path, database: str) -> None:
        """Run a script in plain SQL, as pg_dump writes it."""
        where = ("-h", self.folder, "-p", self.port, "-U", "postgres", "-d", database)
        copy = self.folder / "script.sql"  # the user of the server may not see where the tests are
        shutil.copyfile(script, copy)
        self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *where, "-f", copy)

    def remove(self) -> None:
        """Stop it and take its data away."""
        self._run("pg_ctl", "stop", "-s", "-m", "immediate", "-D", self._data, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object, check: bool = True) -> str:
        done = subprocess.run(
            [self.programs / program, *map(str, arguments)],
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if program != "pg_ctl" else None,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=120,
        )
        log = self.folder / "log"
        shown = f"{done.stdout}{log.read_text('utf-8')[-2000:] if log.exists() else ''}"
        assert done.returncode == 0 or not check, f"{program}: {shown}"
        return done.stdout


def start_or_skip() -> PostgreSQLServer:
    """A server. Without PostgreSQL's programs the test is skipped; it fails on a build machine."""
    programs = programs_of_postgresql()
    if programs is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("PostgreSQL's programs are not here: apt-get install postgresql")
    return PostgreSQLServer(programs)


def programs_of_postgresql() -> Path | None:
    """Where `initdb` and the other programs of the newest PostgreSQL are; None when there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    anywhere = shutil.which("initdb")
    return found[-1].parent if found else Path(anywhere).parent if anywhere else None


def children_of(process: int) -> list[int]:
    """Its child processes; none when it has ended."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text("utf-8").split()]
    except OSError:
        return []


def _other_than_root() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    return next(name for name in ("postgres", "nobody") if _exists(name))


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
