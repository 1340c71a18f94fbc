"""A credential looked up over the agent's HTTP API: requests a second on one core, over mutual TLS on loopback, 16
connections that are kept.

- keysvc: `keysvc agent`, a process; the credential is in its memory, as it is for most look-ups.
- floor: the server of keysvc with an application that answers the same bytes to everything.
- peer: OpenBao's transit engine over TLS, `decrypt` of one ciphertext a request, its way to get at one secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from pathlib import Path

from benchmarks.installation import APPLICATION, CALLER, USER, Installation, identity_folder
from benchmarks.measuring import Contender, Figures, Race, Scale
from benchmarks.openbao import KEY, TOKEN, OpenBao
from benchmarks.processes import on_one_core
from benchmarks.serving import constant
from benchmarks.traffic import Target, Traffic
from keysvc.cli.demo.processes import free_port
from keysvc.installation.config import host_and_port
from keysvc.model import Role, host_name

SECONDS = 2.0
ROUNDS = 5


def figures(scale: Scale) -> Figures:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ending:
        folder = Path(name)
        bao = ending.enter_context(OpenBao(folder, tls=True))  # first: where it is missing, nothing else need be made
        installed = ending.enter_context(Installation(folder))
        installed.serve()
        installed.store_credential()
        server, application = installed.join("web-01", "server"), installed.join(CALLER, "application")
        agent = installed.agent(server)
        target = Target(
            host_and_port("agent", server.agent),
            f"GET /v1/credential?application={APPLICATION}&user={USER} HTTP/1.1\r\nHost: agent\r\n\r\n".encode(),
            tls=host_name(Role.SERVER, server.system_id),
            identity=identity_folder(application),
        )
        answer, port = target.answer(), free_port()
        least = ending.enter_context(constant(port, identity_folder(server), answer))
        seconds = 0.5 if scale.quick else SECONDS

        def contender(process: int, target: Target) -> Contender:
            traffic = ending.enter_context(Traffic(target))
            return on_one_core(process, lambda: traffic.answers(seconds))

        contenders = {
            "keysvc": contender(agent.popen.pid, target),
            "floor": contender(least, dataclasses.replace(target, address=("127.0.0.1", port))),
            "OpenBao": contender(bao.process_id, decrypting(bao)),
        }
        race = Race("agent look-up", "requests/s", contenders, scale.of(ROUNDS, 3)).run()
        yield race.against("floor", 0.5)
        yield race.against("OpenBao", 2)


def decrypting(bao: OpenBao) -> Target:
    """One ciphertext, over and over."""
    (ciphertext,) = bao.encrypted(b'{"Password":"correct horse battery"}', 1)
    body = json.dumps({"ciphertext": ciphertext}).encode()
    head = f"POST /v1/transit/decrypt/{KEY} HTTP/1.1\r\nHost: bao\r\nX-Vault-Token: {TOKEN}\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return Target(bao.address, request, tls="bao")
