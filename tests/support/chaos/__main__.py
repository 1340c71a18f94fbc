"""python -m chaos --store sqlite|postgresql --seed N --minutes M"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

from postgresql_server import start_or_skip

from chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--servers", type=int, default=3)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="keysvc-chaos-"))
    print(f"seed {asked.seed}, {asked.minutes:g} minutes on {asked.store}, in {folder}", flush=True)
    database = start_or_skip() if asked.store == "postgresql" else None
    began = time.monotonic()
    try:
        judgement = run(folder, asked.seed, 60 * asked.minutes, servers=asked.servers, database=database)
    finally:
        if database is not None:
            database.remove()
    print(f"{time.monotonic() - began:.0f} s: {judgement}")
    if judgement.violations:
        again = f"make chaos STORE={asked.store} SEED={asked.seed} MINUTES={asked.minutes:g}"
        print(f"the same plan again (scheduling is not replayed): {again}\nhistories, plan and logs: {folder}")
    return int(bool(judgement.violations))


if __name__ == "__main__":
    sys.exit(main())
