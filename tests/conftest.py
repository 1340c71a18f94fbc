"""Fixtures that many tests need."""

from __future__ import annotations

import functools
import logging
import os
from collections import abc
from pathlib import Path

import pytest
from systems import Keysvc, System, configured, run_keysvc

collect_ignore = [] if os.environ.get("KEYSVC_TEST_COMBINATION") else ["matrix"]  # tox.ini sets it


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


@pytest.fixture(autouse=True)
def log_as_before() -> abc.Iterator[None]:
    """A command that runs in this process sets the log up for itself; the next test finds it as it was."""
    log = logging.getLogger("keysvc")
    handlers, propagate, level = [*log.handlers], log.propagate, log.level
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)
