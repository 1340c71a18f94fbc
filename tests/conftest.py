"""Fixtures that many tests need."""

from __future__ import annotations

import functools
from collections import abc
from pathlib import Path

import pytest
from systems import Keysvc, System, configured, run_keysvc


@pytest.fixture
def system(tmp_path: Path) -> abc.Iterator[System]:
    """Configured, with version 1, without a running master."""
    made = configured(tmp_path)
    yield made
    made.close()


@pytest.fixture
def keysvc(tmp_path: Path) -> Keysvc:
    """Run `keysvc …` as a process of its own, in an empty home."""
    return functools.partial(run_keysvc, tmp_path / "home")
