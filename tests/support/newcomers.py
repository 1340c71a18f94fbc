"""A plugin author's machine: an environment of its own that sees what this one has, and an empty folder."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

from systems import Ended


class Newcomer:
    """`run` runs a command as one types it, in `folder`. What is installed here is seen, and left as it is."""

    def __init__(self, at: Path) -> None:
        self.folder = at / "empty"
        self.folder.mkdir(parents=True)
        venv.create(at / "venv", with_pip=False)
        self._programs = at / "venv/bin"
        (site,) = (at / "venv").glob("lib/python*/site-packages")
        (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", "utf-8")
        for program in ("keysvc", "pytest"):
            script = self._programs / program
            script.write_text(f'#!/bin/sh\nexec "{self._programs}/python" -m {program} "$@"\n', "utf-8")
            script.chmod(0o755)

    def run(self, *command: object, within: str = ".", ok: bool = True) -> Ended:
        """It ends well unless `ok` is false."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSVC_", "PYTEST_"))}
        done = subprocess.run(
            [str(part) for part in command],
            executable=self._programs / str(command[0]),
            cwd=self.folder / within,
            env={**clean, "HOME": str(self.folder.parent), "PATH": f"{self._programs}:{clean['PATH']}"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode == 0) == ok, f"{command}: {done.stdout}\n{done.stderr}"
        return Ended(done.returncode, done.stdout, done.stderr)

    def pip_install(self, project: Path | str) -> None:
        """`pip install -e`, without an index: hatchling and all that plugins need is here."""
        offline = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
        self.run("python", "-m", "pip", "install", "-q", *offline, "-e", project)
