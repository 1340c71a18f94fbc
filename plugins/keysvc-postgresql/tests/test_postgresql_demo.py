"""The whole story on PostgreSQL."""

from __future__ import annotations

from keysvc.cli.demo.story import Story


def test_the_demo_runs_on_postgresql(tmp_path, url):
    summary = Story(tmp_path, lambda _step: None, mapping_store=url).tell()
    assert (summary.failed_lookups, summary.restored_from_backup) == (0, True)
    assert summary.reencrypted == summary.imported_mappings >= 1000
