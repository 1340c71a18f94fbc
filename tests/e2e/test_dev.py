"""First steps: keysvc dev prints what stores and looks up a credential; init asks what it cannot know."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from pathlib import Path

from systems import Keysvc, eventually
from terminals import on_a_terminal

from keysvc.cli.demo.processes import Machine
from keysvc.installation import config as configuration


def test_a_first_credential_takes_the_commands_that_dev_prints_and_nothing_is_left(
    tmp_path: Path, keysvc: Keysvc
) -> None:
    started = Machine(tmp_path / "dev", tmp_path, {"TMPDIR": str(tmp_path)}).start("dev")
    try:
        eventually(lambda: "is on https://" in started.log.read_text() or started.popen.poll() is not None)
        said = started.log.read_text()
        assert "warning: for trying out alone" in said
        (folder,) = tmp_path.glob("keysvc-dev-*")
        store, look_up = (shlex.split(each) for each in re.findall(r": +keysvc (--config .+)$", said, re.MULTILINE))
        assert keysvc(*store, "--fields-file", "-", stdin='{"Password": "geheim"}').status == 0
        found = keysvc(*look_up).out
        assert "AWEBER" in found
        assert "geheim" in found
        assert "ready" in keysvc(*look_up[:2], "status").out
    finally:
        started.popen.send_signal(signal.SIGTERM)
        assert started.popen.wait(30) == 0
    assert not folder.exists()


def test_init_on_a_terminal_asks_what_others_call_a_machine_that_listens_on_every_address(tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "ks"), "--no-backup", "--listen", "0.0.0.0:7443")
    asked: list[str] = []

    def answer(shown: str) -> str:
        asked.append(shown)
        return "ks1.example.com"

    on_a_terminal([sys.executable, "-m", "keysvc", "init", *where], {}, answer)
    assert ["What others call this machine" in shown for shown in asked] == [True]
    assert configuration.load(tmp_path / "ks" / "keysvc.toml").own_url == "https://ks1.example.com:7443"


def test_init_on_a_terminal_asks_nothing_where_nobody_else_can_call(tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "ks"), "--no-backup", "--listen", "127.0.0.1:7443")
    on_a_terminal([sys.executable, "-m", "keysvc", "init", *where], {}, lambda shown: f"nobody asks: {shown}")
    assert configuration.load(tmp_path / "ks" / "keysvc.toml").own_url == "https://127.0.0.1:7443"
