"""A mapping store and a key store that go back together, as in a snapshot of a machine: the number of a version is then
given again, to another secret. Members that held the first one find out before they do harm."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections import abc
from datetime import timedelta
from pathlib import Path

import pytest
from systems import InProcessMaster, System, configured, eventually

from keysvc.errors import MasterSecretServerUnavailable
from keysvc.model import VersionState
from keysvc.sso import SSO

LONG = timedelta(minutes=1)


@pytest.fixture
def system(tmp_path: Path) -> abc.Iterator[System]:
    (tmp_path / "system").mkdir()
    made = configured(tmp_path / "system")
    yield made
    made.close()


def copy(source: Path, target: Path) -> None:
    """Of the mapping store, page by page and in place, as a database restores itself; and of the key store."""
    stores = (sqlite3.connect(folder / "keysvc.db") for folder in (source, target))
    one, other = map(contextlib.closing, stores)
    with one as content, other as place:
        content.backup(place)
    shutil.rmtree(target / "secret", ignore_errors=True)
    shutil.copytree(source / "secret", target / "secret")


def rotated(system: System, *members: SSO) -> str:
    """The key check value of version 2, which is active then."""
    master = system.start(poll_interval=LONG)
    master.rotate("administrator")
    for member in members:
        member._poller.poll_now()
    store = system.store()
    eventually(lambda: [r.state for r in store.versions()] == [VersionState.RETIRING, VersionState.ACTIVE])
    for member in members:
        member._poller.poll_now()
    return store.versions()[1].check_value


@pytest.fixture
def survivor(system: System, tmp_path: Path) -> tuple[SSO, InProcessMaster]:
    """It holds the first version 2, and has slept through a snapshot that was restored, and a second rotation."""
    system.with_users("anna", "bert")
    system.start()
    system.stop()
    (tmp_path / "snapshot").mkdir()
    copy(system.folder, tmp_path / "snapshot")
    system.start(poll_interval=LONG)
    sso, link = system.sso("survivor")
    system.stop()
    copy(tmp_path / "snapshot", system.folder)
    first = rotated(system, sso)
    link.down = True
    system.stop()
    copy(tmp_path / "snapshot", system.folder)
    assert rotated(system) != first
    link.down = False
    return sso, link


def test_what_a_survivor_writes_can_be_read_by_everybody(system: System, survivor: tuple[SSO, InProcessMaster]) -> None:
    sso, _ = survivor
    sso.set_credential("SAP", user="anna", password="geheim")
    other, _ = system.sso("web-02")
    assert other.credential("SAP", user="anna")["password"].reveal() == "geheim"


def test_a_survivor_reads_what_others_write(system: System, survivor: tuple[SSO, InProcessMaster]) -> None:
    sso, _ = survivor
    other, _ = system.sso("web-02")
    other.set_credential("SAP", user="bert", password="geheim")
    assert sso.credential("SAP", user="bert")["password"].reveal() == "geheim"


def test_a_survivor_that_is_cut_off_from_the_master_writes_nothing(
    system: System, survivor: tuple[SSO, InProcessMaster]
) -> None:
    sso, link = survivor
    link.down = True
    before = system.store().credential("SAP", "anna")
    with pytest.raises(MasterSecretServerUnavailable):
        sso.set_credential("SAP", user="anna", password="geheim")
    assert system.store().credential("SAP", "anna") == before


def test_a_survivor_counts_as_one_that_lacks_the_version(system: System, survivor: tuple[SSO, InProcessMaster]) -> None:
    sso, _ = survivor
    held = sso._cache.held()
    assert system.master is not None
    assert [version.number for version in held] == [1, 2]
    assert system.master.announced().numbers_of(held) == (1,)
    sso._poller.poll_now()
    assert system.master.announced().numbers_of(sso._cache.held()) == (1, 2)
