"""What attacks on running processes share."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest
from attackers import Attacked
from sites import Site
from systems import Keysvc


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
