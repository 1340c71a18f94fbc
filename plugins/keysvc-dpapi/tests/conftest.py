"""On Windows the tests of the folder `windows` run as they are; on Linux they run in a Windows Python under Wine."""

from __future__ import annotations

import os
import sys
from collections import abc
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "wine"))
import windows_python

collect_ignore = [] if sys.platform == "win32" else ["windows"]


@pytest.fixture(scope="session")
def windows(tmp_path_factory: pytest.TempPathFactory) -> abc.Iterator[windows_python.WindowsPython]:
    """A Windows Python for all tests of this process."""
    if sys.platform == "win32":
        pytest.skip("this is Windows: the tests of the folder `windows` run as they are")
    if not windows_python.is_possible():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(windows_python.MISSING)
    started = windows_python.WindowsPython(tmp_path_factory.mktemp("windows"))
    yield started
    started.remove()
