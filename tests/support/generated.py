"""Writes what `keysvc plugin new` makes of each kind into a folder, for ruff and mypy: tox.ini."""

from __future__ import annotations

import sys
from pathlib import Path

from keysvc.authoring.project import Kind, write

NAMES = {"memo": Kind.KEY_STORE, "ledger": Kind.MAPPING_STORE, "lines": Kind.NOTIFIER}

for name, kind in NAMES.items():
    write(name, kind, Path(sys.argv[1]) / kind.value)
