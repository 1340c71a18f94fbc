"""The README's five minutes, command by command, as a newcomer types them."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from collections import abc
from pathlib import Path

import pytest

from keysvc.demo.processes import free_port

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
FIRST_BLOCK = README.partition("## In five minutes")[2].partition("```console")[2].partition("```")[0]
COMMANDS = [line.removeprefix("$ ") for line in FIRST_BLOCK.strip().splitlines()]
PASSWORD = "geheim-geheim"


def typed(command: list[str], folder: Path, env: abc.Mapping[str, str]) -> str:
    """Run on a terminal, answering each question with the password."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(command[0], command, dict(env))
    out, deadline = "", time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            new = os.read(terminal, 4096).decode()
        except OSError:
            break
        if not new:
            break
        out += new
        if out.endswith(": "):
            time.sleep(0.2)  # until the question has turned echo off
            os.write(terminal, PASSWORD.encode() + b"\n")
    assert time.monotonic() < deadline, f"{command} waits: {out}"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, out
    return out


def test_the_five_minutes_work_as_printed(tmp_path: Path) -> None:
    assert COMMANDS[0] == "pip install ."
    env = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    out, serving, port = "", None, free_port()  # the default one may be somebody's on this machine
    try:
        for line in COMMANDS[1:]:
            words = shlex.split(line)
            if words[:2] == ["keysvc", "init"]:
                words += ["--listen", f"127.0.0.1:{port}"]
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                env[name] = value
            elif words[-1] == "&":
                serving = subprocess.Popen(words[:-1], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
                where = f"is on https://127.0.0.1:{port}".encode()
                assert any(where in line for line in iter(serving.stderr.readline, b""))
            else:
                out = typed(words, tmp_path, env)
                assert PASSWORD not in out
    finally:
        if serving is not None:
            serving.terminate()
            serving.communicate()
    assert "AWEBER" in out
    assert "********" in out


def test_the_three_lines_of_an_application_work_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    import keysvc
    from keysvc.testing import memory_sso

    code = README.partition("```python")[2].partition("```")[0]
    logins: list[tuple[str, str]] = []

    class Sap:
        def login(self, user: str, password: str) -> None:
            logins.append((user, password))

    monkeypatch.setattr(keysvc, "connect", lambda: memory_sso({"SAP": {"anna": {"Password": PASSWORD}}}), raising=False)
    exec(code, {"sap": Sap()})
    assert logins == [("anna", PASSWORD)]
