"""Runs commands on what `keysvc plugin new` makes of each kind, in its folder, as its author does: tox.ini.

python generated.py "ruff check" mypy
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from keysvc.cli.authoring.project import Kind, write

NAMES = {
    "a-name-of-20-letters": Kind.KEY_STORE,
    "my-ledger": Kind.MAPPING_STORE,
    "lines": Kind.NOTIFIER,
    "staff": Kind.AUTHORIZER,
}

with tempfile.TemporaryDirectory() as folder:  # not below .tox, which ruff leaves out
    for name, kind in NAMES.items():
        project = write(name, kind, Path(folder) / name).directory
        for command in sys.argv[1:]:
            subprocess.run([sys.executable, "-m", *shlex.split(command)], cwd=project, check=True)
