"""SIGKILL at every line of what a master secret server writes, on PostgreSQL. `make deaths` kills at every place."""

from __future__ import annotations

import itertools
import os

import keysvc_postgresql.store
import pytest
from master_deaths import MASTER, STORES, Lives, every_place, kill_at, table

MODULES = (*MASTER, *STORES, keysvc_postgresql.store)
WHOLE = os.environ.get("KEYSVC_ALL_DEATHS") == "1"
PARTS = 16 if WHOLE else 1  # for as many workers as there are


@pytest.mark.parametrize("part", range(PARTS))
def test_a_master_can_die_at_every_line_and_the_next_one_finishes_what_it_began(tmp_path, server, part):
    numbers = itertools.count()

    def new() -> Lives:
        return Lives.begun(tmp_path / str(next(numbers)), server.new_database())

    everywhere = every_place(new(), MODULES, sample=None if WHOLE else 20)
    chosen = [(place, time) for place, time in everywhere if place.line % PARTS == part]
    tolls = kill_at(chosen, new, MODULES)
    print(f"\nSIGKILL of the master secret server, on PostgreSQL\n{table(tolls)}")
    assert sum(toll.deaths for toll in tolls.values()) > len(chosen) / 2
