"""What attacks on running processes share."""

from __future__ import annotations

import logging
from collections import abc
from pathlib import Path

import pytest
from attackers import Attacked
from sites import Site
from systems import Keysvc


@pytest.fixture(autouse=True)
def log_as_before() -> abc.Iterator[None]:
    """A command that runs in this process sets the log up for itself; the next test finds it as it was."""
    log = logging.getLogger("keysvc")
    handlers, propagate, level = [*log.handlers], log.propagate, log.level
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


@pytest.fixture
def attacked(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Attacked]:
    """A system that was configured, with a lease that no slow machine loses. Nothing runs yet."""
    made = Attacked(tmp_path, keysvc)
    made.init("--no-backup", "--lease-ttl", "30s")
    yield made
    made.end()


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    """A master machine, configured; nothing runs yet."""
    made = Site(tmp_path, keysvc)
    made.init()
    yield made
    made.end()
