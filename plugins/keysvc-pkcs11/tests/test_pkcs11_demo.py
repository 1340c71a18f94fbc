"""The whole story on a token."""

from __future__ import annotations

from keysvc.cli.demo.story import Story


def test_the_demo_runs_on_a_token_and_leaves_nothing_that_opens_the_secret_without_it(tmp_path):
    story = Story(tmp_path, lambda _step: None, key_store="softhsm")
    summary = story.tell()
    assert (summary.failed_lookups, summary.restored_from_backup) == (0, True)
    assert summary.reencrypted == summary.imported_mappings >= 1000
    master = story.machines["master"].directory
    assert not list(master.glob("secret*"))
