"""A poll that learns nothing new: requests a second on one core, over mutual TLS, 16 connections that are kept.

- keysvc: `keysvc serve`, a process, asked as its SSO servers ask it; the answer is 304.
- floor: the same server with an application that answers 304, and the same headers, to everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import tempfile
from pathlib import Path

from benchmarks.installation import Installation, identity_folder
from benchmarks.measuring import Contender, Figures, Race, Scale
from benchmarks.processes import on_one_core
from benchmarks.serving import constant
from benchmarks.traffic import Target, Traffic, header
from keysvc.cli.demo.processes import free_port
from keysvc.model import Role, host_name
from keysvc.web.tls.identity_files import MASTER_IDENTITY

SECONDS = 2.0
ROUNDS = 5
PATH = "/v1/poll?instance=5ca1ab1e"
_ANNOUNCED = re.compile(r"(\d+)[nar]-([0-9a-f]{16})")


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        installed = ending.enter_context(Installation(Path(name)))
        serving = installed.serve()
        server = installed.join("web-01", "server")
        host = host_name(Role.MASTER, server.system_id)
        first = Target(installed.address, asking(""), tls=host, identity=identity_folder(server))
        polling = dataclasses.replace(first, request=asking(header(first.answer(), "ETag")), status=304)
        least, seconds = free_port(), 0.5 if scale.quick else SECONDS
        own = installed.config.resolve(MASTER_IDENTITY)
        constantly = ending.enter_context(constant(least, own, polling.answer()))

        def contender(process: int, target: Target) -> Contender:
            traffic = ending.enter_context(Traffic(target))
            return on_one_core(process, lambda: traffic.answers(seconds))

        contenders = {
            "keysvc": contender(serving.popen.pid, polling),
            "floor": contender(constantly, dataclasses.replace(polling, address=("127.0.0.1", least))),
        }
        yield Race("poll", "requests/s", contenders, scale.of(ROUNDS, 3)).run().against("floor", 0.8)


def asking(etag: str, path: str = PATH) -> bytes:
    """The request of an SSO server that knows this ETag, if any, and holds what it names."""
    held = ",".join(f"{number}-{check_value}" for number, check_value in _ANNOUNCED.findall(etag))
    known = f"If-None-Match: {etag}\r\n" if etag else ""
    return f"GET {path}&holds={held} HTTP/1.1\r\nHost: keysvc\r\n{known}\r\n".encode()
