"""How a server is run."""

from __future__ import annotations

import socket
import subprocess
import sys

from keysvc.web.serving import listen


def test_a_server_may_have_as_many_connections_as_its_account() -> None:
    code = """
import resource
from keysvc.web.serving import allow_connections
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
allow_connections()
print(resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most))
"""
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "True\n"


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
