"""New TLS 1.3 connections with a client certificate: handshakes a second on one core, one after the other, made by
OpenSSL's s_time.

- keysvc: `keysvc serve`, a process.
- floor: OpenSSL's s_server with the same certificates, which demands the caller's too.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections import abc
from pathlib import Path

from benchmarks.installation import Installation, identity_folder
from benchmarks.measuring import Figures, Race, Scale, Unavailable
from benchmarks.processes import on_one_core
from keysvc.cli.demo.processes import free_port
from keysvc.web.tls.identity_files import AUTHORITY, CERTIFICATE, KEY, MASTER_IDENTITY

ROUNDS = 5
SECONDS = 2


def figures(scale: Scale) -> Figures:
    if shutil.which("openssl") is None:
        raise Unavailable("openssl is not here: apt-get install openssl")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        installed = ending.enter_context(Installation(Path(name)))
        serving = installed.serve()
        caller = identity_folder(installed.join("web-01", "server"))
        port = free_port()
        least = ending.enter_context(s_server(port, installed.config.resolve(MASTER_IDENTITY)))
        seconds = scale.of(SECONDS, 1)
        contenders = {
            "keysvc": on_one_core(serving.popen.pid, lambda: handshakes(installed.port, caller, seconds)),
            "floor": on_one_core(least, lambda: handshakes(port, caller, seconds)),
        }
        race = Race("new TLS connections", "connections/s", contenders, scale.of(ROUNDS, 3)).run()
        yield race.against("floor", 0.5)


@contextlib.contextmanager
def s_server(port: int, identity: Path) -> abc.Iterator[int]:
    """Its process id."""
    files = ("-cert", identity / CERTIFICATE, "-key", identity / KEY, "-CAfile", identity / AUTHORITY)
    command: list[str | Path] = [
        "openssl",
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        *files,
        "-Verify",
        "1",
        "-tls1_3",
        "-www",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def handshakes(port: int, identity: Path, seconds: int) -> int:
    """How many s_time made."""
    files = ("-cert", identity / CERTIFICATE, "-key", identity / KEY, "-CAfile", identity / AUTHORITY)
    command: list[str | Path] = [
        "openssl",
        "s_time",
        "-connect",
        f"127.0.0.1:{port}",
        "-new",
        "-time",
        str(seconds),
        *files,
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"^(\d+) connections in \d+ real seconds", said, re.MULTILINE)
    if found is None:
        raise OSError(f"s_time made no connection: {said[-300:]}")
    return int(found[1])
