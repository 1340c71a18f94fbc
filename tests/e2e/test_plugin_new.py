"""`keysvc plugin new`: what it writes, and what it refuses. test_first_afternoon.py runs what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from newcomers import Newcomer
from systems import Keysvc

from keysvc.cli.authoring.project import Kind, write
from keysvc.errors import InvalidInput


def test_what_comes_out_has_the_name_everywhere(tmp_path: Path) -> None:
    made = write("my-hsm", Kind.KEY_STORE, tmp_path)
    assert "keysvc_my_hsm/sealer.py" in made.files
    for path in made.files:
        assert "xample" not in path + (tmp_path / path).read_text("utf-8").lower()
    assert "class MyHsmSealer:" in (tmp_path / "keysvc_my_hsm/sealer.py").read_text("utf-8")
    assert 'my-hsm = "keysvc_my_hsm"' in (tmp_path / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["", "Memo", "my_memo", "1st", "memo/..", "-memo", "keysvc-memo", "m" * 21, "mémo"])
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


def test_an_authorizer_that_is_new_keeps_every_promise(tmp_path: Path) -> None:
    newcomer = Newcomer(tmp_path)
    said = newcomer.run("keysvc", "plugin", "new", "staff", "--kind", "authorizer", "--dir", ".").out
    assert said.endswith("keysvc plugin check 'staff:///ABSOLUTE/FILE'\n")
    assert " passed" in newcomer.run(str(tmp_path / "venv/bin/python"), "-m", "pytest", "-q").out
    newcomer.run("pip", "install", "-q", "-e", ".")
    (newcomer.folder / "groups").write_text("SAP users: anna\n", "utf-8")
    checked = newcomer.run("keysvc", "plugin", "check", f"staff://{newcomer.folder}/groups").out
    assert checked.endswith("promises of an authorizer, 0 broken\n")
