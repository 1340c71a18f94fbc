"""SIGKILL at every line of what writes, on SQLite. `make deaths` kills at every place."""

from __future__ import annotations

import contextlib
import itertools
import os
from pathlib import Path

import pytest
from master_deaths import MASTER, STORES, Lives, every_place, kill_at, table
from systems import SYSTEM_ID, System

from keysvc.crypto import certificates
from keysvc.errors import AlreadyConfigured
from keysvc.master import backup, lifecycle, secrets
from keysvc.model import Identity, Role, SecretText, VersionState, utc_now
from keysvc.plugin import sealed
from keysvc.plugin.loading import Plugins
from keysvc.sso import credential_reader, credentials, poller, service, version_cache, version_ciphers
from keysvc.stores import sql, sql_changes, sqlite_store
from keysvc.testing.deaths import die_at_every_line

WHOLE = os.environ.get("KEYSVC_ALL_DEATHS") == "1"
MODULES = (*MASTER, *STORES, sqlite_store)


def end_the_lease_of_the_dead(system: System) -> None:
    with contextlib.closing(system.store()) as store:
        if (lease := store.lease()) is not None:
            store.release_lease(lease)


def test_a_master_can_die_at_every_line_and_the_next_one_finishes_what_it_began(tmp_path: Path) -> None:
    numbers = itertools.count()

    def new() -> Lives:
        return Lives.begun(tmp_path / str(next(numbers)))

    chosen = every_place(new(), MODULES, sample=None if WHOLE else 25)
    tolls = kill_at(chosen, new, MODULES)
    print(f"\nSIGKILL of the master secret server, on SQLite\n{table(tolls)}")
    assert sum(toll.deaths for toll in tolls.values()) > len(chosen) / 2


def test_an_sso_server_can_die_at_every_line_and_what_it_acknowledged_is_there(tmp_path: Path) -> None:
    lives = Lives.begun(tmp_path / "system")

    def look(_death: int) -> None:
        end_the_lease_of_the_dead(lives.system)
        lives.check_written()

    modules = (service, version_cache, version_ciphers, credentials, poller, credential_reader, *STORES, sqlite_store)
    deaths = die_at_every_line(lives.write, look, modules, step=1 if WHOLE else 150)
    assert deaths > 5
    look(0)
    print(f"{deaths} deaths")


def test_configuring_can_die_at_every_line_and_be_repeated(tmp_path: Path) -> None:
    made = System(tmp_path / "0", Plugins(), certificates.create_authority(SYSTEM_ID, now=utc_now()))
    found: set[bool] = set()

    def configure() -> None:
        store = made.store()
        store.prepare()
        lifecycle.configure(store, made.key_store(), SYSTEM_ID, Identity("a", Role.ADMINISTRATOR, "01", utc_now()))

    def look(death: int) -> None:
        end_the_lease_of_the_dead(made)
        with contextlib.closing(made.store()) as store:
            found.add(configured := store.system() is not None)
            with pytest.raises(AlreadyConfigured) if configured else contextlib.nullcontext():
                configure()
            (version,) = store.versions()
            assert (version.version, version.state) == (1, VersionState.ACTIVE)
            assert version.describes(made.key_store().unseal(1))
        made.close()
        begin(death)

    def begin(number: int) -> None:
        made.folder = tmp_path / str(number)
        made.folder.mkdir()
        with contextlib.closing(made.store()) as store:
            store.prepare()

    begin(0)
    modules = (lifecycle, secrets, sealed, *((sql, sql_changes) if WHOLE else ()))
    assert die_at_every_line(configure, look, modules, step=1 if WHOLE else 11) > 5
    assert not WHOLE or found == {False, True}


@pytest.mark.skipif(not WHOLE, reason="each death derives a key from a passphrase, which takes a second: make deaths")
def test_restoring_can_die_at_every_line_and_be_repeated(system: System, tmp_path: Path) -> None:
    secret, passphrase, path = system.key_store().unseal(1), SecretText("a passphrase"), tmp_path / "backup"
    backup.write_and_prove(path, [secret], SYSTEM_ID, passphrase, work_factor=4)
    content = path.read_bytes()
    system.key_store().destroy(1)

    def restore() -> None:
        with contextlib.closing(system.store()) as store:
            assert backup.restore(content, passphrase, store, system.key_store()) == (1,)

    def look(_death: int) -> None:
        end_the_lease_of_the_dead(system)
        if 1 in system.key_store().versions():
            assert system.key_store().unseal(1) == secret
        restore()
        assert system.key_store().unseal(1) == secret
        system.key_store().destroy(1)

    assert die_at_every_line(restore, look, (backup, sealed), step=3) > 20
