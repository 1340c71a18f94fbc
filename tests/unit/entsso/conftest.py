"""A mapping store on a disk, and the samples."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest

from keysvc.model import NameRule, SecretText, Settings, SystemRecord, utc_now
from keysvc.plugin.changes import UNGUARDED, PutSystem
from keysvc.plugin.interfaces import MappingStore
from keysvc.plugin.loading import Plugins

SAMPLES = Path(__file__).parents[2] / "samples" / "entsso"
SYSTEM_ID = "0" * 32


@pytest.fixture(scope="session")
def sample() -> abc.Callable[[str], bytes]:
    return lambda name: (SAMPLES / name).read_bytes()


@pytest.fixture
def unconfigured(tmp_path: Path) -> abc.Iterator[MappingStore]:
    store = Plugins().mapping_stores.open(f"sqlite:///{tmp_path}/sso.db", lambda _name: SecretText(""), SYSTEM_ID)
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def store(unconfigured: MappingStore) -> MappingStore:
    unconfigured.commit([PutSystem(SystemRecord(SYSTEM_ID, utc_now(), Settings(names=NameRule.FOLDED)))], UNGUARDED)
    return unconfigured
