"""What `plugins = […]` does not name is never imported, and no child process takes a module from where it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keysvc.cli.demo.processes import Machine

GROUPS = "[keysvc]\ngreeting = greeting\n[keysvc.commands]\ngreeting = greeting\n"
PINNED = """\
system_id = "55555555555555555555555555555555"
mapping_store = "sqlite:////nowhere/keysvc.db"
master = "https://127.0.0.1:7443"
"""
PLUGIN = """
from pathlib import Path
Path(__file__).with_name("imported").touch()
from keysvc.plugin.hookspecs import hookimpl

@hookimpl
def keysvc_commands(app):
    @app.command()
    def greet():
        "Say hello."
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a distribution with commands is installed."""
    made = tmp_path / "site-packages"
    info = made / "greeting-1.0.dist-info"
    info.mkdir(parents=True)
    (made / "greeting.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(GROUPS)
    return made


def imported_by(folder: Path, *arguments: object, **environment: str) -> bool:
    (folder / "imported").unlink(missing_ok=True)
    given = {**os.environ, "PYTHONPATH": str(folder), "HOME": str(folder), **environment}
    command = [sys.executable, "-P", "-m", "keysvc", *map(str, arguments)]
    subprocess.run(command, env=given, cwd=folder, capture_output=True, check=False, timeout=60)
    return (folder / "imported").exists()


@pytest.fixture
def pinned(tmp_path: Path) -> Path:
    path = tmp_path / "pinned.toml"
    path.write_text(f"{PINNED}plugins = []\n")
    return path


@pytest.mark.parametrize(
    "before",
    [["--config", "PATH", "role", "list"], ["role", "list", "--config", "PATH"], ["role", "list", "--config=PATH"]],
)
def test_a_plugin_that_is_not_named_is_not_imported_wherever_the_configuration_is_given(
    folder: Path, pinned: Path, before: list[str]
) -> None:
    assert not imported_by(folder, *(argument.replace("PATH", str(pinned)) for argument in before))


@pytest.mark.parametrize("command", [["--help"], ["role", "list"], ["plugin", "list"], ["plugin", "check", "none:"]])
def test_a_plugin_that_is_not_named_is_not_imported_for_any_command(
    folder: Path, pinned: Path, command: list[str]
) -> None:
    assert not imported_by(folder, *command, KEYSVC_CONFIG=str(pinned))


def test_of_two_configurations_each_must_name_a_plugin(folder: Path, pinned: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'{PINNED}plugins = ["greeting"]\n')
    assert imported_by(folder, "--config", other, "role", "list")
    assert not imported_by(folder, "--config", other, "role", "list", "--config", pinned)
    assert not imported_by(folder, "--config", pinned, "greet", "--config", other)  # `role list` may: `other` counts


def test_a_configuration_that_cannot_be_read_names_no_plugin(folder: Path, pinned: Path) -> None:
    pinned.write_text("plugins = [", "utf-8")
    assert not imported_by(folder, "--config", pinned, "role", "list")


def test_a_plugin_that_is_named_or_where_nothing_is_configured_has_its_commands(folder: Path, pinned: Path) -> None:
    assert imported_by(folder, "--help")
    pinned.write_text(PINNED, "utf-8")
    assert imported_by(folder, "--config", pinned, "--help")


def test_a_child_process_takes_no_module_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("keysvc", "tomllib", "typer"):
        (here / f"{name}.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'taken')!r}).touch()\n")
    monkeypatch.chdir(here)
    Machine(tmp_path / "machine", tmp_path / "logs").run("--version", configured=False)
    assert not (tmp_path / "taken").exists()
