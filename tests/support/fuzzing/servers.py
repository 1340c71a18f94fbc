"""The targets that are servers: bytes on a connection of somebody who is let in."""

from __future__ import annotations

import contextlib
import re
import socket
from collections import abc
from pathlib import Path

from systems import SYSTEM_ID, configured
from web_servers import serving_agent, serving_master

from fuzzing.target import Call, Target, Way
from keysvc.model import Role, host_name

SECONDS = 0.05
"""Some requests wait for a change, or for the rest of a head: then the connection is closed."""
WHOLE_SECONDS = 0.5
"""For the answer to what may be a whole request, after which the server closes."""
UNFORESEEN = re.compile(rb"^HTTP/1.. 500 |an unexpected error|Traceback")


class Unforeseen(Exception):
    """The server answered that it failed."""


def _answered(connection: socket.socket, content: bytes) -> bytes:
    answer = b""
    is_whole = b"Connection: close" in content and b"\r\n\r\n" in content
    connection.settimeout(WHOLE_SECONDS if is_whole else SECONDS)
    with contextlib.suppress(OSError):
        connection.sendall(content)
    with contextlib.suppress(OSError):
        while more := connection.recv(65536):
            answer += more
            if len(answer) > 2**20:
                break
    return answer


def _judged(answer: bytes) -> Way:
    if UNFORESEEN.search(answer):
        raise Unforeseen(answer[:200])
    return Way([answer[:12], *re.findall(rb'"code":"([^"]*)"|"detail":"([^"]{0,20})', answer)])


@contextlib.contextmanager
def _agent(folder: Path) -> abc.Iterator[Call]:
    system = configured(folder)
    try:
        system.with_users("anna", "bert")
        system.start()
        sso, _ = system.sso()
        sso.set_credential("SAP", {"Password": "geheim"}, user="anna")
        with serving_agent(system, sso, folder) as served:

            def call(content: bytes) -> Way:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(served.socket))
                    return _judged(_answered(connection, content))

            yield call
    finally:
        system.close()


@contextlib.contextmanager
def _master(folder: Path) -> abc.Iterator[Call]:
    system = configured(folder)
    try:
        system.with_users("anna")
        system.start()
        with serving_master(system, folder) as served:
            context = served.identity.client_context()
            port = int(served.url.rpartition(":")[2])
            name = host_name(Role.MASTER, SYSTEM_ID)

            def call(content: bytes) -> Way:
                plain = socket.create_connection(("127.0.0.1", port))
                with context.wrap_socket(plain, server_hostname=name) as connection:
                    return _judged(_answered(connection, content))

            yield call
    finally:
        system.close()


def request(method: str, target: str, body: str = "", *headers: str) -> bytes:
    """As a client writes it, for a connection that ends with the answer."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", body]).encode()


AGENT = (
    request("GET", "/v1/credential?application=SAP&user=anna", "", "Cache-Control: no-cache"),
    request("PUT", "/v1/credential?application=SAP&user=bert", '{"fields":{"Password":"x"}}', 'If-Match: "0"'),
    request("POST", "/v1/lookups", '{"application":"SAP","external_user":"ANNA","password":"x"}'),
    request("POST", "/v1/tickets", '{"user":"anna"}'),
    request("POST", "/v1/redemptions", '{"application":"SAP","ticket":"keysvc-ticket-1.AAAA","sender":"anna"}'),
    request("GET", "/v1/mappings?application=SAP&after=&limit=100"),
    request("GET", "/v1/applications?after=A&limit=1"),
    request("PUT", "/v1/mapping?application=SAP&user=carl", '{"external_user":"CARL","enable":true}'),
    b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
)
MASTER = (
    request("GET", "/v1/poll?instance=5ca1ab1e&holds=1&wait=0", "", 'If-None-Match: "x"'),
    request("POST", "/v1/versions/1/fetch", '{"instance":"5ca1ab1e","public_key":"AAAA"}'),
    request("GET", "/v1/authority"),
    request("POST", "/v1/join", '{"token":"aaaa","request":"-----BEGIN CERTIFICATE REQUEST-----"}'),
    request("POST", "/v1/renewal", '{"request":"-----BEGIN CERTIFICATE REQUEST-----"}'),
    request("POST", "/v1/identities", '{"name":"web-09","role":"server"}'),
    request("GET", "/v1/identities?after=&limit=5"),
    request("GET", "/v1/status"),
    request("POST", "/v1/rotation?compromised=1"),
)
WORDS = (
    b"\r\n", b"\r\n\r\n", b"HTTP/1.0", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"&", b"user=",
    b"limit=", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"%", b"X-A: b\r\n", b"0\r\n",
    b"ffffffffffffffff\r\n", b"PRI * HTTP/2.0",
)  # fmt: skip

SERVERS = (
    Target("agent-http", _agent, AGENT, WORDS, maximum=2**18),
    Target("master-http", _master, MASTER, WORDS, maximum=2**18),
)
