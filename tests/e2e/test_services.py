"""`keysvc serve` and `keysvc agent` as processes: what they keep in memory, however they are asked for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.cli.demo.processes import Machine


def test_a_service_does_not_keep_what_only_commands_need(site: Site) -> None:
    site.init("--no-backup")
    watched = Machine(site.machine.directory, site.machine.logs, {"PYTHONPROFILEIMPORTTIME": "1"})
    serving = watched.start("serve")
    site.running.append(serving)
    eventually(lambda: site.state()["master"] is not None or serving.popen.poll() is not None)
    imported = {line.rpartition("|")[2].strip() for line in serving.log.read_text("utf-8").splitlines()}
    assert "keysvc.web.asgi.server" in imported
    assert not imported & {"typer", "pydantic", "rich", "sqlalchemy.dialects.mssql"}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks the file that is put in place of the folder")
def test_serve_waits_for_a_mapping_store_that_is_away_when_it_starts(site: Site) -> None:
    place = site.folder / "database"
    place.mkdir()
    site.init("--no-backup", "--mapping-store", f"sqlite:///{place}/keysvc.db")
    place.rename(site.folder / "away")
    place.touch()  # SQLite says of this that it cannot be opened, and of nothing at all that there is no system yet
    serving = site.machine.start("serve")
    site.running.append(serving)
    eventually(lambda: "waits for it" in serving.log.read_text("utf-8"))
    place.unlink()
    (site.folder / "away").rename(place)
    eventually(lambda: site.state()["state"] == "ready")


@pytest.mark.parametrize("service", ["serve", "agent"])
def test_every_spelling_of_a_service_ends_in_the_same_way(keysvc: Keysvc, service: str, tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    spellings = [
        ("--config", path, service),
        (service, "--config", path),
        (service, f"--config={path}"),
        (f"--config={path}", service),
    ]
    ends = [keysvc(*spelling) for spelling in spellings]
    ends.append(keysvc(service, env={"KEYSVC_CONFIG": str(path)}))
    assert {(end.status, end.out, end.err) for end in ends} == {(1, "", ends[0].err)}
    assert ends[0].err.startswith(f"error: not-configured: there is no configuration at {path}; ")
    assert keysvc(service, "--conifg", path).status == keysvc(service, path).status == 2


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in its file system")
@pytest.mark.parametrize("spelling", ["--config", "--config="])
def test_a_service_that_is_interrupted_before_it_serves_says_nothing(tmp_path: Path, spelling: str) -> None:
    path = tmp_path / "keysvc.toml"
    os.mkfifo(path)
    arguments = [spelling, str(path)] if spelling == "--config" else [f"{spelling}{path}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "keysvc", "serve", *arguments],
        stderr=subprocess.PIPE,
        preexec_fn=_can_be_interrupted,  # noqa: PLW1509
    )

    def waits_for_its_configuration() -> bool:
        with contextlib.suppress(OSError):  # nobody reads yet
            writing.append(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(writing) or process.poll() is not None

    writing: list[int] = []
    eventually(waits_for_its_configuration)
    process.send_signal(signal.SIGINT)
    os.close(writing[0])  # a signal just before it reads does not end the read
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, b"")


def _can_be_interrupted() -> None:
    """Whoever runs the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
