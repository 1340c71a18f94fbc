"""The poll on the wire."""

from __future__ import annotations

import http.client
import json
from pathlib import Path

from systems import Keysvc, eventually

from keysvc.cli.demo.processes import Machine, free_port
from keysvc.installation import assembly, config as configuration
from keysvc.model import Role, host_name


def test_a_poll_that_finds_nothing_new_is_one_conditional_request_answered_304(tmp_path: Path, keysvc: Keysvc) -> None:
    machine = Machine(tmp_path / "master", tmp_path / "logs")
    port = free_port()
    done = keysvc("init", "--dir", machine.directory, "--listen", f"127.0.0.1:{port}", "--no-backup")
    assert done.status == 0, done.err
    with machine.start("serve"):
        config = configuration.load(machine.config)
        client = assembly.master_client(config)
        eventually(lambda: keysvc("--config", machine.config, "server", "list").status == 0)
        context = assembly.identity(config).client_context()
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)

        def poll(**headers: str) -> http.client.HTTPResponse:
            connection.request("GET", "/v1/poll?instance=abc&holds=1-0123456789abcdef", headers=headers)
            return connection.getresponse()

        first = poll()
        body = json.loads(first.read())
        known = f"1a-{body['versions'][0]['check_value']}"
        assert (first.status, first.headers["ETag"]) == (200, f'"{body["epoch"]};{known}"')
        before = (tmp_path / "master/keysvc.db-wal").stat().st_mtime_ns
        for _ in range(20):
            answer = poll(**{"If-None-Match": first.headers["ETag"]})
            assert (answer.status, answer.read()) == (304, b"")
        fetched = client.fetch(1)
        assert len(fetched) == 32
        assert before
        assert poll(**{"If-None-Match": '"0;1a-0000000000000000"'}).status == 200
        assert host_name(Role.MASTER, config.system_id).startswith("master.")
        connection.close()
        client.close()
