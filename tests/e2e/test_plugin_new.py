"""A newcomer's first afternoon: `keysvc plugin new`: its tests, pip install -e, list, check, demo."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from newcomers import Newcomer
from systems import Keysvc

from keysvc.authoring.project import Kind, write
from keysvc.errors import InvalidInput

KINDS = {"memo": "key-store", "my-ledger": "mapping-store", "lines": "notifier"}

CONTRACT = {
    "imported_mappings", "lookups", "failed_lookups", "rotated_from", "rotated_to", "reencrypted",
    "encrypt_refused_while_master_down", "restored_from_backup", "seconds",
}  # fmt: skip


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


def test_each_kind_works_at_once_and_the_demo_runs_on_all_three(newcomer: Newcomer) -> None:
    folder = newcomer.folder
    for name, kind in KINDS.items():
        newcomer.run("keysvc", "plugin", "new", name, "--kind", kind)
        tested = newcomer.run("python", "-m", "pytest", "-q", within=f"keysvc-{name}")
        assert " passed" in tested.out
        assert "skipped" not in tested.out
        newcomer.pip_install(f"./keysvc-{name}")
    listed = {found["name"]: found for found in json.loads(newcomer.run("keysvc", "plugin", "list", "--json").out)}
    for name, kind in KINDS.items():
        found = listed[name]
        assert (found["distribution"], found["version"], found["problem"]) == (f"keysvc-{name}", "0.1.0", "")
        assert (found["kinds"], found["schemes"]) == ([kind.replace("-", " ")], [name])

    (folder / "key").write_text(base64.b64encode(bytes(range(32))).decode(), "utf-8")
    key_store = f"memo://{folder}/secret?key-source=file:{folder}/key"
    mapping_store, notifier = f"my-ledger://{folder}/mappings.db", f"lines://{folder}/events.jsonl"
    for url in (key_store, f"my-ledger://{folder}/checked.db", notifier):
        assert ", 0 broken" in newcomer.run("keysvc", "plugin", "check", url).out
    parts = ("--key-store", key_store, "--mapping-store", mapping_store, "--notifier", notifier)
    told = json.loads(newcomer.run("keysvc", "demo", "--json", *parts).out)
    assert told.keys() >= CONTRACT
    assert (told["failed_lookups"], told["restored_from_backup"]) == (0, True)
    assert told["reencrypted"] == told["imported_mappings"] >= 1000
    kinds = [json.loads(line)["kind"] for line in (folder / "events.jsonl").read_text("utf-8").splitlines()]
    assert {"version.activated", "rotation.finished"} <= set(kinds)
    assert not list((folder / "secret").iterdir()), "the demo leaves the key store empty"


def test_what_comes_out_has_the_name_everywhere(tmp_path: Path) -> None:
    made = write("my-hsm", Kind.KEY_STORE, tmp_path)
    assert "keysvc_my_hsm/sealer.py" in made.files
    for path in made.files:
        assert "xample" not in path + (tmp_path / path).read_text("utf-8").lower()
    assert "class MyHsmSealer:" in (tmp_path / "keysvc_my_hsm/sealer.py").read_text("utf-8")
    assert 'my-hsm = "keysvc_my_hsm"' in (tmp_path / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["", "Memo", "my_memo", "1st", "memo/..", "-memo", "keysvc-memo", "m" * 31, "mémo"])
def test_a_name_that_is_none_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        write(name, Kind.NOTIFIER, tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path, keysvc: Keysvc) -> None:
    (tmp_path / "mine").write_text("", "utf-8")
    done = keysvc("plugin", "new", "memo", "--kind", "notifier", "--dir", tmp_path)
    assert (done.status, done.err.split(": ")[:2]) == (1, ["error", "invalid-input"])
    assert "is not empty; give --dir a new or an empty directory" in done.err
    assert not (tmp_path / "pyproject.toml").exists()


def test_a_name_that_an_installed_plugin_has_is_refused(tmp_path: Path, keysvc: Keysvc) -> None:
    done = keysvc("plugin", "new", "sqlite", "--kind", "mapping-store", "--dir", tmp_path / "new")
    assert done.err == "error: invalid-input: keysvc has a plugin sqlite already; choose another name\n"
