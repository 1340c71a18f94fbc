"""The demo, and the search for every secret that it used in everything that it wrote."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from keysvc.cli.demo.story import Story
from keysvc.installation import config as configuration
from keysvc.installation.assembly import no_prompt, open_key_store


def forms(secret: bytes) -> set[bytes]:
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), base64.b64encode(secret).rstrip(b"=")}


def test_the_demo_tells_the_whole_story_and_leaks_no_secret(tmp_path: Path) -> None:
    story = Story(tmp_path, lambda _step: None)
    summary = story.tell()
    assert (summary.applications, summary.failed_lookups) == (6, 0)
    assert summary.imported_mappings >= 1000
    assert summary.reencrypted == summary.imported_mappings
    assert (summary.rotated_from, summary.rotated_to) == (1, 2)
    assert summary.lookups > summary.lookups_while_master_down > 0
    assert summary.encrypt_refused_while_master_down
    assert summary.restored_from_backup

    secrets = {form for secret in story.secrets for form in forms(secret.encode())}
    key_store = open_key_store(configuration.load(story.machines["master"].config), no_prompt)
    for version in key_store.versions():
        secrets |= forms(key_store.unseal(version).material.reveal())
    assert len(secrets) > 4000
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "passphrase"]
    assert any(path.suffix == ".log" for path in written)
    for path in written:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path
    arguments = json.dumps([machine.commands for machine in story.machines.values()]).encode()
    assert not [secret for secret in secrets if secret in arguments]
    assert not list(tmp_path.rglob("core*"))
