"""The README's five minutes, command by command, as a newcomer types them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from terminals import on_a_terminal

from keysvc.cli.demo.processes import free_port

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
FIRST_BLOCK = README.partition("## In five minutes")[2].partition("```console")[2].partition("```")[0]
COMMANDS = [line.removeprefix("$ ") for line in FIRST_BLOCK.strip().splitlines()]
PASSWORD = "geheim-geheim"


def test_the_five_minutes_work_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert COMMANDS[0] == "pip install ."
    for name in [name for name in os.environ if name.startswith("KEYSVC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    out, serving, port = "", None, free_port()  # the default one may be somebody's on this machine
    try:
        for line in COMMANDS[1:]:
            words = shlex.split(line)
            if words[:2] == ["keysvc", "init"]:
                words += ["--listen", f"127.0.0.1:{port}"]
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                monkeypatch.setenv(name, value)
            elif words[-1] == "&":
                serving = subprocess.Popen(words[:-1], stderr=subprocess.PIPE)
                where = f"is on https://127.0.0.1:{port}".encode()
                assert any(where in line for line in iter(serving.stderr.readline, b""))
            else:
                out = on_a_terminal(words, {}, lambda _shown: PASSWORD)
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
