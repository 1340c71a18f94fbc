"""The checker finds what a missing guard does: one is taken away at a time, and processes meet where it counts.

Each scenario, with all guards in place, breaks no rule: KEYSVC_CHAOS_CONTROLS=1 shows it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import abc
from pathlib import Path

import pytest
from chaos import checker
from chaos.run import finish, settled, standbys_are_ready
from chaos.site import Site
from systems import eventually

CONTROLS = os.environ.get("KEYSVC_CHAOS_CONTROLS") == "1"
PATIENCE = 180.0


def state(site: Site, version: int) -> str:
    return {record.version: record.state.value for record in site.store.versions()}.get(version, "")


def rotate(site: Site) -> None:
    with contextlib.closing(site.administrator(PATIENCE)) as client:
        client.rotate()


def reencryption_meets_writers(site: Site) -> None:
    """The master has read all rows, and applications store new values before it writes. Until it has read them, they
    cannot hear that version 2 is active, and store nothing: else they might leave it no row to re-encrypt."""
    for place in ("activate", "reencrypt"):
        site.meetings.arrange(place, "hold")
    rotate(site)
    eventually(lambda: site.meetings.reached("activate"), PATIENCE)
    site.ways["web-1"].cut(silently=False)
    site.meetings.release("activate")
    eventually(lambda: site.meetings.reached("reencrypt"), PATIENCE)
    site.ways["web-1"].heal()
    eventually(lambda: site.store.rows_by_version().get(2, 0) > 2, PATIENCE)
    for server in site.servers:  # else it might store again before it reads what was overwritten
        server.end()
    site.meetings.release("reencrypt")
    eventually(lambda: site.store.versions()[-1].completed_at is not None, PATIENCE)


def a_master_sleeps_through_its_lease(site: Site) -> None:
    """It is stopped on its way into activating version 2; the next master does that, and destroys version 1."""
    site.meetings.arrange("activate", "stop")
    first = site.active()
    rotate(site)
    eventually(lambda: site.meetings.reached("activate"), PATIENCE)
    eventually(lambda: settled_without(site, first), PATIENCE)
    with contextlib.closing(site.administrator(PATIENCE)) as client:
        client.destroy(1, force=True)
    eventually(lambda: site.versions.get("1") == "destroyed", PATIENCE)  # as the checker was told
    first.signal(signal.SIGCONT)


def settled_without(site: Site, gone: object) -> bool:
    return site.active() not in (None, gone) and state(site, 2) == "active" and settled(site)


def a_server_is_cut_off_before_a_rotation(site: Site) -> None:
    """It may still encrypt, and cannot hear of version 2."""
    site.ways["web-1"].cut(silently=False)
    rotate(site)
    eventually(lambda: state(site, 2) == "active", PATIENCE)
    site.ways["web-1"].heal()


def a_writer_sleeps_through_a_rotation(site: Site) -> None:
    """It has encrypted a new credential under version 1, and stores it when version 2 is active."""
    site.meetings.arrange("write", "hold")
    eventually(lambda: site.meetings.reached("write"), PATIENCE)
    rotate(site)
    eventually(lambda: state(site, 2) == "active" and 2 in site.store.rows_by_version(), PATIENCE)
    site.meetings.release("write")


def a_server_is_cut_off_for_long(site: Site) -> None:
    """For longer than it may encrypt."""
    site.ways["web-1"].cut(silently=False)
    with contextlib.closing(site.administrator(PATIENCE)) as client:
        eventually(lambda: not any(server.can_encrypt for server in client.status().servers), PATIENCE)


ATTEMPTS = 3
"""On a machine that is slow for a moment, a permission to encrypt ends before the scenario comes to its point."""

MUTANTS = {
    "without_compare_and_swap": (reencryption_meets_writers, "every_credential_is_a_register"),
    "without_the_epoch": (a_master_sleeps_through_its_lease, "epochs_and_versions_only_grow"),
    "activating_early": (
        a_server_is_cut_off_before_a_rotation,
        "a_version_is_active_only_when_all_who_may_encrypt_hold_it",
    ),
    "without_the_active_version": (
        a_writer_sleeps_through_a_rotation,
        "no_row_comes_under_a_version_that_is_not_active",
    ),
    "permission_without_end": (a_server_is_cut_off_for_long, "nothing_is_encrypted_without_permission"),
}


def judged(folder: Path, scenario: abc.Callable[[Site], None], without: str) -> checker.Judgement:
    keys = 1000 if scenario is a_writer_sleeps_through_a_rotation else 6
    with Site(folder, servers=1, keys=keys, without=without, directed=True) as site:
        eventually(lambda: settled(site) and standbys_are_ready(site), PATIENCE)  # else nobody could take over
        eventually(lambda: site.store.rows_by_version().get(1, 0) >= min(6, keys), PATIENCE)
        scenario(site)
        finish(site)
    return checker.judge(folder / "histories", {})


@pytest.mark.parametrize("guard", MUTANTS)
def test_a_guard_that_is_missing_is_noticed(tmp_path: Path, guard: str) -> None:
    scenario, rule = MUTANTS[guard]
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        judgement = judged(folder, scenario, guard)
        if rule in {violation.partition(":")[0] for violation in judgement.violations}:
            return
    pytest.fail(str(judgement))


@pytest.mark.skipif(not CONTROLS, reason="the same with all guards takes as long again: KEYSVC_CHAOS_CONTROLS=1")
@pytest.mark.parametrize("guard", MUTANTS)
def test_with_all_guards_in_place_nothing_is_noticed(tmp_path: Path, guard: str) -> None:
    judgement = judged(tmp_path, MUTANTS[guard][0], "")
    assert judgement.violations == [], str(judgement)
