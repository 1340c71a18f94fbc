"""Rotations as an operator sees them: real processes, real TLS."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from sites import Site
from systems import eventually

from keysvc.installation import assembly, config
from keysvc.sso.administration import Administration


def with_users(site: Site, count: int) -> None:
    site("app", "create", "SAP", "--enable")
    settings = config.load(site.machine.config)
    with contextlib.closing(assembly.open_mapping_store(settings)) as store, assembly.open_sso(settings) as sso:
        for number in range(count):
            Administration(store, "administrator").set_mapping("SAP", f"user-{number}", f"U{number}", enable=True)
            sso.set_credential("SAP", user=f"user-{number}", password=f"geheim-{number}")


def test_pause_limit_watch_resume_and_verify(site: Site) -> None:
    site.init("--no-backup")
    serving = site.serve()
    with_users(site, 60)
    site("secret", "rotate", "--max-rows-per-second", 1)
    eventually(lambda: site.state()["active_version"] == 2)
    assert "at most 1/s" in site("status").out
    assert "secret resume" in site("secret", "pause").out
    serving.kill()
    site.serve()
    state = site.state()
    assert (state["rotation"]["phase"], state["rotation"]["max_rows_per_second"]) == ("paused", 1)
    assert "paused" in site("secret", "rotate").err
    assert json.loads(site("secret", "verify", "--json").out)["rows"] == 60
    site("secret", "throttle", "--max-rows-per-second", 0)
    site("secret", "resume")
    eventually(lambda: site.state()["rotation"] is None)
    assert [(v["version"], v["rows"]) for v in site.state()["versions"]] == [(1, 0), (2, 0), (3, 60)]
    database = sqlite3.connect(site.machine.directory / "keysvc.db")
    with database:
        database.execute("UPDATE credentials SET ciphertext = substr(ciphertext, 1, 40) WHERE user = 'user-2'")
    database.close()
    found = site("secret", "verify", ok=False)
    assert "does not decrypt: user-2 for SAP, version 3" in found.out
    assert "cannot-decrypt: 1 of 60" in found.err


def test_an_interrupted_wait_says_that_the_rotation_continues(site: Site) -> None:
    site.init("--no-backup")
    site.serve()
    with_users(site, 30)
    site("secret", "throttle", "--max-rows-per-second", 1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may have it ignored
    waiting = site.machine.start("secret", "rotate", "--wait")
    signal.signal(signal.SIGINT, before)
    eventually(lambda: "rotation 1 → 2, re-encrypting" in waiting.log.read_text())
    waiting.popen.send_signal(signal.SIGINT)
    assert waiting.popen.wait(30) != 0
    assert "warning: the rotation to version 2 continues without this command" in waiting.log.read_text()
    assert "Traceback" not in waiting.log.read_text()
    site("secret", "throttle", "--max-rows-per-second", 0)
    eventually(lambda: site.state()["rotation"] is None and site.state()["active_version"] == 2)


def test_an_application_is_shown_with_the_names_that_flags_take(site: Site) -> None:
    site.init("--no-backup")
    site("app", "create", "SAP", "--flag", "hostInitiatedSSO")
    flags = re.findall(r"^(\w+) +(True|False)$", site("app", "show", "SAP").out, re.MULTILINE)
    assert ("hostInitiatedSSO", "True") in flags
    for name, value in flags:
        site("app", "set", "SAP", "--flag", f"{name}={'yes' if value == 'True' else 'no'}")


def test_a_compromised_version_is_gone_as_soon_as_a_backup_holds_its_successor(site: Site, tmp_path: Path) -> None:
    site.init("--no-backup")
    site.serve()
    with_users(site, 2)
    done = site("secret", "rotate", "--compromised", 1, "--wait")
    assert "version 2 is active" in done.out
    told = done.err.splitlines()
    assert any(re.match("rotation 1 → 2, .* of 2 credentials", line) for line in told), "there is no terminal"
    assert [line[:29] for line in told if line.startswith("warning")] == [
        "warning: whoever knows version 1"[:29],
        "warning: make a new backup: keysvc secret backup FILE"[:29],
    ]
    assert "retiring, compromised" in site("secret", "list").out
    assert "version 1 is compromised" in site("status").err
    site("secret", "backup", tmp_path / "b.age", env={"KEYSVC_PASSPHRASE": "a passphrase of some length"})
    eventually(lambda: [v["state"] for v in site.state()["versions"]] == ["destroyed", "active"])
    assert "there is no version 1" in site("secret", "rotate", "--compromised", 1, ok=False).err


def test_waiting_shows_a_quiet_line_on_a_terminal(site: Site) -> None:
    site.init("--no-backup")
    site.serve()
    with_users(site, 4)
    site("secret", "throttle", "--max-rows-per-second", 2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "keysvc", "--config", site.machine.config, "secret", "rotate", "--wait"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, text=True, env=environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
        out = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert "version 2 is active" in out
    text = shown.decode()
    assert "/4" in text
    assert "left" in text
