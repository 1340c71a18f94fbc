"""The snippets of docs/how-to/agent.md get a credential from an agent over mutual TLS, as they are printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import abc
from dataclasses import dataclass
from pathlib import Path

import pytest
from sites import Site, joined
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import free_port

PAGE = (Path(__file__).parents[2] / "docs/how-to/agent.md").read_text("utf-8")


@dataclass(frozen=True)
class Program:
    """A program with a certificate of its own, and the agent that it asks."""

    directory: Path
    system: str
    agent: str


@pytest.fixture
def program(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Program]:
    site, agent = Site(tmp_path, keysvc), f"127.0.0.1:{free_port()}"
    site.init("--no-backup")
    site.serve()
    site("app", "create", "SAP", "--enable", "--administrator-account", "payroll")
    site("mapping", "set", "SAP", "anna", "AWEBER", "--enable")
    site("credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "geheim-geheim"}')
    server, payroll = (joined(site, keysvc, *who, agent) for who in (("web-01", "server"), ("payroll", "application")))
    site.running.append(server.start("agent"))
    eventually(lambda: "is on https://" in site.running[-1].log.read_text())
    yield Program(payroll.directory, site.state()["system_id"], agent)
    site.end()


def test_node_gets_a_credential(program: Program, tmp_path: Path) -> None:
    node = shutil.which("node") or pytest.skip("Node is not installed: apt-get install nodejs")
    (code,) = re.findall(r"```javascript\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "lookup.mjs").write_text(code, "utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "KEYSVC_DIR": str(program.directory),
        "KEYSVC_SYSTEM": program.system,
        "KEYSVC_AGENT": program.agent,
    }

    def run(*who: str) -> subprocess.CompletedProcess[str]:
        command = [node, tmp_path / "lookup.mjs", *who]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    found = run("SAP", "anna")
    assert (found.returncode, found.stdout) == (0, "AWEBER [ 'Password' ]\n"), found.stderr
    missing = run("SAP", "bert")
    assert missing.returncode == 1
    assert "not-found: " in missing.stderr


def test_curl_gets_a_credential(program: Program) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install curl")
    part = PAGE.partition("## On a port")[2]
    (command,) = re.findall(r"```text\n(curl .*?)```", part.partition("\n## ")[0], re.DOTALL)
    command = command.replace("SYSTEM", program.system).replace("DIR", str(program.directory))
    command = command.replace("7444:127.0.0.1:7444", f"7444:{program.agent}")
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["fields"] == {"Password": "geheim-geheim"}
