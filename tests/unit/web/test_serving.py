"""How a server is run."""

from __future__ import annotations

import subprocess
import sys


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
