"""On Linux: every module of the folder `windows`, in a Windows Python under Wine, on Wine's registry and DPAPI."""

from __future__ import annotations

from pathlib import Path

import pytest

MODULES = sorted(path.name for path in (Path(__file__).parent / "windows").glob("test_*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_the_tests_for_windows_pass_under_wine(module: str, windows) -> None:
    path = "Z:" + str(Path(__file__).parent / "windows" / module)
    finished = windows.run("-m", "pytest", "-q", "-p", "no:cacheprovider", path.replace("/", "\\"))
    print(finished.stdout)
    assert finished.returncode == 0, finished.stdout
