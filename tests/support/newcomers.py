"""A plugin author's machine: an environment of its own that sees what this one has, and an empty folder."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import venv
from pathlib import Path

from systems import Ended

OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""What a plugin needs is here. The 0 is pip's way to say that a build is not isolated."""


class Newcomer:
    """`run` runs a command in `folder`. What is installed here is seen, and left as it is."""

    def __init__(self, at: Path) -> None:
        self.folder = at / "empty"
        self.folder.mkdir(parents=True)
        venv.create(at / "venv", with_pip=False)
        self._programs = at / "venv/bin"
        (site,) = (at / "venv").glob("lib/python*/site-packages")
        (site / "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", "utf-8")
        for program in ("keysvc", "pip"):
            script = self._programs / program
            script.write_text(f'#!/bin/sh\nexec "{self._programs}/python" -m {program} "$@"\n', "utf-8")
            script.chmod(0o755)

    def run(self, *command: str) -> Ended:
        """To its good end."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSVC_", "PYTEST_"))}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**clean, **OFFLINE, "HOME": str(self.folder.parent), "PATH": f"{self._programs}:{clean['PATH']}"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return Ended(done.returncode, done.stdout, done.stderr)
