"""docs/how-to/hsm.md, command by command, as a newcomer types it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import abc
from pathlib import Path

import pytest
from systems import eventually
from terminals import on_a_terminal

from keysvc.cli.demo.processes import DemoFailed, Machine, free_port

HOW_TO = Path(__file__).parents[3] / "docs/how-to/hsm.md"
SO_PIN, PIN = "1928374655", "48151623"


@pytest.fixture
def newcomer(softhsm_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and SoftHSM as its package leaves it: configured, with no token."""
    if not shutil.which("pkcs11-tool"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("OpenSC is not installed: apt-get install opensc")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def commands(module: str, folder: Path) -> list[str]:
    """As they are written, but for places that only root may write to, and the port."""
    text = HOW_TO.read_text("utf-8")
    for theirs, ours in {
        "/etc/": f"{folder}/",
        "/var/lib/": f"{folder}/",
        "/usr/lib/softhsm/libsofthsm2.so": module,
        "keysvc init": f"keysvc init --listen 127.0.0.1:{free_port()}",
    }.items():
        text = text.replace(theirs, ours)
    return re.findall(r"^\$ (.+)$", text, re.MULTILINE)


def typing(*answers: str) -> abc.Callable[[str], str]:
    rest = iter(answers)
    return lambda _shown: next(rest)


def status_of(machine: Machine) -> str:
    """Empty until it is active."""
    with contextlib.suppress(DemoFailed):
        return machine.run("status")
    return ""


def test_five_commands_lead_to_a_system_that_opens_with_the_token_alone(newcomer: Path, softhsm_module: str) -> None:
    install, make_token, keep_pin, init, serve, prove = commands(softhsm_module, newcomer)
    assert install == "apt-get install softhsm2 && pip install keysvc keysvc-pkcs11"
    on_a_terminal(shlex.split(make_token), {}, typing(SO_PIN, SO_PIN, PIN, PIN))
    subprocess.run(shlex.split(keep_pin), input=f"{PIN}\n", text=True, check=True)
    assert (newcomer / "keysvc.pin").stat().st_mode & 0o777 == 0o600
    made = on_a_terminal(shlex.split(init), {}, pytest.fail)
    assert "sealed under: KEK keysvc (AES-GCM) in token prod, serial " in made
    machine = Machine(newcomer / "keysvc", newcomer / "logs")
    assert shlex.split(serve) == ["keysvc", "--config", str(machine.config), "serve"]
    with machine.start("serve") as serving:
        eventually(lambda: "pkcs11:token=prod;object=keysvc   KEK keysvc (AES-GCM)" in status_of(machine))
    assert serving.popen.returncode == 0
    shown = on_a_terminal(shlex.split(prove), {}, typing(PIN))
    assert "Access:     sensitive, always sensitive, never extractable, local" in shown
    assert re.search(r"Data object(?s:.)+/version-0000000001'(?s:.)+modifiable private", shown)
    assert not [path for path in machine.directory.rglob("*") if path.suffix == ".key" or path.name == "secret"]
    shutil.rmtree(newcomer / "tokens")
    (newcomer / "tokens").mkdir()
    assert "BAD  pkcs11:token=prod" in doctor(machine), "without the token nothing opens it"


def doctor(machine: Machine) -> str:
    command = [sys.executable, "-m", "keysvc", "--config", str(machine.config), "doctor"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
