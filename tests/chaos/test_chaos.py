"""Real processes through kills, pauses, partitions and rotations. `make chaos` runs it longer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.run import run

SECONDS = float(os.environ.get("KEYSVC_CHAOS_SECONDS", "15"))
SEED = int(os.environ.get("KEYSVC_CHAOS_SEED", "1"))


def test_sqlite_applications_see_nothing_of_what_befalls_masters_and_sso_servers(tmp_path: Path) -> None:
    judgement = run(tmp_path, SEED, SECONDS)
    print(f"\nSQLite, seed {SEED}: {judgement}")
    if judgement.violations:
        pytest.fail(f"make chaos STORE=sqlite SEED={SEED} MINUTES={SECONDS / 60:g}\n{judgement}", pytrace=False)
