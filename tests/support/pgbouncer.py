"""A real PgBouncer before a real PostgreSQL server: on a free port, under a user that is not root."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections import abc
from pathlib import Path

import pytest

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {connections}
ignore_startup_parameters = {ignored}
"""


@contextlib.contextmanager
def pgbouncer(server: int, mode: str, *, ignored: str = "", connections: int = 20) -> abc.Iterator[int]:
    """Run one before the server at a port of this machine; yield its own port."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        say = pytest.fail if os.environ.get("CI") else pytest.skip
        say("PgBouncer is not here: apt-get install pgbouncer")
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="keysvc-pgbouncer-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        file = Path(folder) / "pgbouncer.ini"
        given = {"server": server, "port": port, "mode": mode, "connections": connections, "ignored": ignored}
        file.write_text(CONFIGURATION.format(**given), "utf-8")
        if user:
            for path in (Path(folder), file):
                shutil.chown(path, user)
        process = subprocess.Popen(
            [str(program), "-q", str(file)],
            user=user,
            group=pwd.getpwnam(user).pw_gid if user else None,
            extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_until_it_listens(process, port)
            yield port
        finally:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 5).close()
            return
        time.sleep(0.05)
    pytest.fail("PgBouncer did not start")
