"""As test_fuzz.py, for the parsers of the plugins that are installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing.plugins import OF_PLUGINS
from fuzzing.running import fuzz
from fuzzing.target import Target

SECONDS = 1.0


@pytest.mark.parametrize("target", OF_PLUGINS, ids=lambda target: target.name)
def test_whatever_a_plugin_is_given_is_taken_or_refused_in_time(target: Target, tmp_path: Path) -> None:
    for module in target.needs:
        pytest.importorskip(module)
    report = fuzz(target, tmp_path, SECONDS)
    assert report.failure is None, f"{report.failure.what}: {report.failure.content[:300]!r}"
    assert report.executions >= len(target.corpus())
