"""Commands of plugins: there when they are declared, and no plugin is imported for a command that needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PLUGIN = """
print("imported")
from keysvc.plugin.hookspecs import hookimpl

@hookimpl
def keysvc_commands(app):
    @app.command()
    def greet():
        "Say hello."
        print("hello")
"""


def keysvc(folder: Path, *arguments: str, groups: str) -> str:
    (folder / "greeting.py").write_text(PLUGIN)
    info = folder / "greeting-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(groups)
    command = [sys.executable, "-m", "keysvc", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment).stdout


def test_a_plugin_that_declares_commands_adds_them(tmp_path: Path) -> None:
    groups = "[keysvc]\ngreeting = greeting\n[keysvc.commands]\ngreeting = greeting\n"
    assert "Say hello." in keysvc(tmp_path, "--help", groups=groups)
    assert keysvc(tmp_path, "greet", groups=groups).endswith("hello\n")


def test_a_plugin_without_commands_is_not_imported_for_one(tmp_path: Path) -> None:
    shown = keysvc(tmp_path, "--help", groups="[keysvc]\ngreeting = greeting\n")
    assert "Commands:" in shown
    assert "imported" not in shown
