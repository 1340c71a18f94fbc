"""`keysvc console` as a process, as people start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from plain_browser import PlainBrowser
from systems import eventually, run_keysvc

from keysvc.installation import config as configuration
from keysvc.model import Role

if TYPE_CHECKING:
    from consoles import Estate


def written(estate: Estate, folder: Path) -> Path:
    """A configuration file, as `keysvc join` leaves it."""
    config = estate.config("boss", Role.ADMINISTRATOR)
    names = ("system_id", "mapping_store", "master", "identity", "agent")
    file = folder / "keysvc.toml"
    file.write_text(configuration.dump({name: getattr(config, name) for name in names}), "utf-8")
    file.chmod(0o600)
    return file


def test_the_address_that_it_prints_opens_the_console_and_a_signal_ends_it(estate: Estate, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "keysvc", "console", "--config", written(estate, tmp_path), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"opens once at (http://127\.0\.0\.1:\d+)(/[\w-]+)/start/[\w-]+$", said.strip())
        assert address, said
        browser = PlainBrowser(address[1], address[2])
        assert browser.open(address[0].removeprefix("opens once at ")).status == 200
        assert "boss" in browser.get("/").text
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_the_browser_is_started_with_a_file_that_only_its_owner_reads(estate: Estate, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    script = tmp_path / "browser.sh"
    shown = f'file="${{1#file://}}"\nstat -c %a "$file" "$(dirname "$file")" > {opened}\necho "$1" >> {opened}\n'
    script.write_text(f"#!/bin/sh\n{shown}")
    script.chmod(0o700)
    command = [sys.executable, "-m", "keysvc", "console", "--config", written(estate, tmp_path)]
    environment = {**os.environ, "BROWSER": f"{script} %s"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    token = process.stdout.readline().strip().rpartition("/")[2]
    eventually(lambda: opened.exists() and opened.read_text().count("\n") == 3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    _, folder, argument = opened.read_text().splitlines()
    assert folder == "700"
    assert token
    assert token not in argument


def test_what_is_wrong_is_said_in_one_line(estate: Estate, tmp_path: Path) -> None:
    done = run_keysvc(tmp_path, "console", "--config", written(estate, tmp_path), "--agent", "nowhere")
    assert done.status == 1
    assert done.err.startswith("error: configuration: 'nowhere' is not HOST:PORT")
