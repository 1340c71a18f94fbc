"""What the end-to-end tests share."""

from __future__ import annotations

from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc


@pytest.fixture
def site(tmp_path: Path, keysvc: Keysvc) -> abc.Iterator[Site]:
    made = Site(tmp_path, keysvc)
    yield made
    made.end()
