"""A PostgreSQL server for a benchmark: on loopback, its data in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections import abc
from pathlib import Path

from benchmarks.measuring import Unavailable
from keysvc.cli.demo.processes import free_port


@contextlib.contextmanager
def postgresql() -> abc.Iterator[int]:
    """Its port; the database is `postgres`, the user too. Raises Unavailable."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(found).parent for found in [shutil.which("initdb")] if found
    ]
    if not programs:
        raise Unavailable("PostgreSQL is not here: apt-get install postgresql")
    user = _other_than_root()
    folder = Path(tempfile.mkdtemp(prefix="keysvc-benchmark-"))
    shutil.chown(folder, user)
    port, data = free_port(), folder / "data"

    def run(program: str, *arguments: object) -> subprocess.Popen[bytes]:
        command = [programs[-1] / program, "-D", data, *map(str, arguments)]
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, user=user, group=pwd.getpwnam(user).pw_gid, cwd=folder, **nowhere)  # type: ignore[call-overload, no-any-return]

    try:
        if run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8").wait():
            raise Unavailable("initdb failed")
        server = run("postgres", "-p", port, "-h", "127.0.0.1", "-k", folder)
        try:
            _until_ready(programs[-1], port)
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # cuts every connection
            server.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _until_ready(programs: Path, port: int) -> None:
    deadline = time.monotonic() + 60
    command: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(command, check=False).returncode:
        if time.monotonic() > deadline:
            raise Unavailable("PostgreSQL does not answer")
        time.sleep(0.1)


def _other_than_root() -> str:
    """It refuses to run as root."""
    return pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "postgres"
