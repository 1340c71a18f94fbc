"""Real processes through kills, pauses, partitions and rotations, and what befalls a database server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos.run import run
from postgresql_server import start_or_skip

SECONDS = float(os.environ.get("KEYSVC_CHAOS_SECONDS", "15"))
SEED = int(os.environ.get("KEYSVC_CHAOS_SEED", "1"))


def test_applications_see_nothing_of_what_befalls_masters_sso_servers_and_the_database(tmp_path: Path) -> None:
    database = start_or_skip()  # of its own, for it is killed
    try:
        judgement = run(tmp_path, SEED, SECONDS, database=database)
    finally:
        database.remove()
    print(f"\nPostgreSQL, seed {SEED}: {judgement}")
    if judgement.violations:
        pytest.fail(f"make chaos STORE=postgresql SEED={SEED} MINUTES={SECONDS / 60:g}\n{judgement}", pytrace=False)
