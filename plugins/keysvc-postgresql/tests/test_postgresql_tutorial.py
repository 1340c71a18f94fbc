"""The tutorial of two machines and a database, typed as it is printed, with PostgreSQL on this machine."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections import abc
from pathlib import Path

import pytest
from postgresql_server import PostgreSQLServer, start_or_skip
from typed_pages import fits, typed

from keysvc.cli.demo.processes import free_port

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/tutorials/two-machines.md").read_text("utf-8")


@pytest.fixture
def own_server() -> abc.Iterator[PostgreSQLServer]:
    """A server in which the roles of the tutorial do not exist yet."""
    started = start_or_skip()
    yield started
    started.remove()


def test_the_tutorial_works_as_printed(own_server: PostgreSQLServer, tmp_path: Path) -> None:
    for name in ("roles.sql", "grants.sql"):
        shutil.copy(ROOT / "plugins/keysvc-postgresql/sql" / name, tmp_path)
    here = {
        "?password-source=file:/etc/keysvc.owner": "",
        "@db.example/": f"@127.0.0.1:{own_server.port}/",
        "--dir web-01": f"--dir web-01 --agent 127.0.0.1:{free_port()}",
        "0.0.0.0:7443": f"127.0.0.1:{free_port()}",
    }
    here["master:7443"] = here["0.0.0.0:7443"]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("KEYSVC_", "PG"))},
        "PATH": f"{Path(sys.executable).parent}:{own_server.programs}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(own_server.port),
        "PGUSER": "postgres",
    }
    running: list[subprocess.Popen[str]] = []
    try:
        for on_the_page, shown in typed(PAGE):
            command = functools.reduce(lambda text, pair: text.replace(*pair), here.items(), on_the_page)
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                environment[name] = value
                continue
            if command.endswith(" &"):
                words = ["sh", "-c", f"exec {command.removesuffix(' &')}"]
                started = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
                running.append(started)
                printed = next(line for line in iter(started.stderr.readline, "") if "is on https" in line)
            else:
                ended = subprocess.run(
                    ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
                )
                assert ended.returncode == 0, (command, ended.stderr)
                printed = ended.stdout + ended.stderr
            printed = printed.replace(here["master:7443"], "master:7443")
            assert fits(shown, printed), (command, printed)
    finally:
        for process in running:
            process.terminate()
            process.communicate()
