"""What the attacks share: running services."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    """A master machine, configured; nothing runs yet."""
    made = Site(tmp_path, keysvc)
    made.init()
    yield made
    made.end()
