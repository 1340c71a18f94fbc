"""`keysvc plugin check URL` tells a good part from a bad one, and leaves what is in use as it was."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc

FORGETFUL = """
from keysvc.plugin.hookspecs import hookimpl
from keysvc.stores.file import open_file

class Forgetful:
    def __init__(self, store):
        self.info, self.versions, self.seal = store.info, store.versions, store.seal
        self.unseal, self.random, self.close = store.unseal, store.random, store.close
    def destroy(self, version): pass

@hookimpl
def keysvc_key_stores(register):
    register("forgetful", lambda opening: Forgetful(open_file(opening)), summary="forgets to destroy", options={})
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_parts_of_a_running_system_keep_their_promises_and_their_contents(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    site.serve()
    site("app", "create", "SAP", "--enable")
    site("mapping", "set", "SAP", "anna", "ANNA", "--enable")
    site("credential", "set", "SAP", "anna", "--fields-file", "-", stdin='{"Password": "geheim"}')
    directory = site.machine.directory
    before, status = contents(directory / "secret"), site.state()
    for url, promises in ((f"file://{directory}/secret", 13), (f"sqlite:///{directory}/keysvc.db", 12)):
        done = keysvc("plugin", "check", url)
        assert done.status == 0, done.out + done.err
        lines = done.out.splitlines()
        assert lines[-1].startswith(f"{promises} promises of a ")
        assert {line.split()[0] for line in lines[:-1]} <= {"kept", "skipped"}
        assert "kept     what was sealed" in done.out or "skipped  a credential comes back exactly" in done.out
    assert contents(directory / "secret") == before
    after = site.state()
    assert {**after, "servers": 0} == {**status, "servers": 0}
    with contextlib.closing(sqlite3.connect(directory / "keysvc.db")) as connection:
        assert connection.execute("SELECT name FROM applications").fetchall() == [("SAP",)]
        assert connection.execute("SELECT count(*) FROM mappings").fetchall() == [(1,)]
    assert "geheim" in site("credential", "get", "SAP", "anna", "--show").out


def test_a_part_that_breaks_a_promise_is_told_which(tmp_path: Path, keysvc: Keysvc) -> None:
    info = tmp_path / "path/keysvc_forgetful-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "path/keysvc_forgetful.py").write_text(FORGETFUL, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keysvc-forgetful\nVersion: 1\n", "utf-8")
    (info / "entry_points.txt").write_text("[keysvc]\nforgetful = keysvc_forgetful\n", "utf-8")
    done = keysvc(
        "plugin", "check", f"forgetful://{tmp_path}/secret", "--json", env={"PYTHONPATH": str(tmp_path / "path")}
    )
    assert done.status == 1
    outcomes = {promise["text"]: promise["outcome"] for promise in json.loads(done.out)}
    assert outcomes["a destroyed version is gone for good"] == "broken"
    assert outcomes["an unknown version is not found"] == "broken", "its throw-away versions stay behind"


def test_what_an_interrupted_check_left_is_removed_by_the_next(tmp_path: Path, keysvc: Keysvc) -> None:
    url = f"file://{tmp_path}/secret"
    assert keysvc("plugin", "check", url).status == 0
    (tmp_path / "secret/version-4000000001").write_bytes(b"left over")
    (tmp_path / "secret/version-0000000007").write_bytes(b"in use")
    assert keysvc("plugin", "check", url).status == 0
    assert os.listdir(tmp_path / "secret") == ["version-0000000007"]


@pytest.mark.parametrize(
    ("url", "code"),
    [("memo", "configuration"), ("carrier-pigeon:x", "unknown-scheme"), ("file:///x?colour=red", "configuration")],
)
def test_what_cannot_be_opened_is_one_line(keysvc: Keysvc, url: str, code: str) -> None:
    done = keysvc("plugin", "check", url)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: {code}: ")
    assert len(done.err.splitlines()) == 1
