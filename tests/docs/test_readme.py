"""The README's five minutes, command by command, as a newcomer types them, and the picture of them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import abc
from html import unescape
from pathlib import Path

import pictures
import pytest
from terminals import on_a_terminal

from keysvc.cli.demo.processes import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
PICTURE = ROOT / "docs/images/first-credential.svg"
FIRST_BLOCK = README.partition("## In five minutes")[2].partition("```console")[2].partition("```")[0]
COMMANDS = [line.removeprefix("$ ") for line in FIRST_BLOCK.strip().splitlines()]
AFTERWARDS = ["keysvc secret rotate --wait", "keysvc credential get SAP anna --json"]
PASSWORD = "geheim-geheim"
DRAW = os.environ.get("KEYSVC_WRITE_DOCS")  # to draw the picture anew


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[list[tuple[str, str]]]:
    """Each command of the README and two more, with what it printed on a terminal."""
    serving, typed = None, []
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KEYSVC_")]:
            patch.delenv(name)
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        patch.chdir(tmp_path_factory.mktemp("five-minutes"))
        port = free_port()  # the default one may be somebody's on this machine
        try:
            for line in [*COMMANDS[1:], *AFTERWARDS]:
                words, out = shlex.split(line), ""
                if words[:2] == ["keysvc", "init"]:
                    words += ["--listen", f"127.0.0.1:{port}"]
                if words[0] == "export":
                    name, _, value = words[1].partition("=")
                    patch.setenv(name, value)
                elif words[-1] == "&":
                    serving = subprocess.Popen(words[:-1], stderr=subprocess.PIPE)
                    out = next(said.decode() for said in iter(serving.stderr.readline, b"") if b"is on https" in said)
                else:
                    out = on_a_terminal(words, {}, lambda _shown: PASSWORD)
                typed.append((line, out.replace(f"{Path.cwd()}/", "./").replace(f":{port}", ":7443")))
            yield typed
        finally:
            if serving is not None:
                serving.terminate()
                serving.communicate()


def test_the_five_minutes_work_as_printed(session: list[tuple[str, str]]) -> None:
    assert COMMANDS[0] == "pip install ."
    shown = dict(session)["keysvc credential get SAP anna"]
    assert "AWEBER" in shown
    assert "********" in shown
    assert not any(PASSWORD in out for _, out in session)


def without_what_differs(text: str) -> str:
    """The words of a session: no identifiers, times or column widths, which differ from run to run."""
    text = re.sub(
        r"[0-9a-f]{32}|vm?[\w.-]*/\d+/[0-9a-f]+|\b[\w.-]+/\d+/[0-9a-f]{8}\b|\d+ (?:s|min) ago|\d+|─+|just now", "", text
    )
    return " ".join(text.split())


def test_the_picture_shows_what_is_printed(session: list[tuple[str, str]]) -> None:
    if DRAW:
        PICTURE.write_text(pictures.terminal(session, "A first credential, and a rotation, in a terminal"), "utf-8")
    drawn = [unescape(line) for line in re.findall(r"<text[^>]*>(.*)</text>", PICTURE.read_text("utf-8"))]
    assert without_what_differs(" ".join(drawn)) == without_what_differs(" ".join(pictures.lines_of(session)))
    assert f"({PICTURE.relative_to(ROOT)})" in README


def test_the_readme_is_read_in_one_go() -> None:
    assert len(README.splitlines()) < 120


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
