"""A command that is forked from a process with all imports does what one does that starts from nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import warm_commands
from sites import Site
from systems import Keysvc


@pytest.mark.parametrize(
    ("words", "stdin", "variables"),
    [
        (["--version"], "", {}),
        (["app", "nonsense"], "", {}),
        (["status"], "", {"KEYSVC_CONFIG": "/nowhere/keysvc.toml"}),
        (["credential", "import", "-"], "not a table", {"KEYSVC_CONFIG": "{config}"}),
    ],
    ids=" ".join,
)
def test_a_command_ends_in_the_same_way_with_and_without_its_own_start(
    words: list[str], stdin: str, variables: dict[str, str], site: Site, keysvc: Keysvc, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.init("--no-backup")
    given = {name: value.format(config=site.machine.config) for name, value in variables.items()}
    warm = keysvc(*words, stdin=stdin, env=given)
    monkeypatch.setattr(warm_commands, "usable", lambda _environment: False)
    assert keysvc(*words, stdin=stdin, env=given) == warm


def test_commands_at_the_same_time_wait_for_none_of_the_others(site: Site, keysvc: Keysvc) -> None:
    site.init("--no-backup")
    ends: list[str] = []
    threads = [threading.Thread(target=lambda: ends.append(keysvc("--version").out)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ends) == 4
    assert len(set(ends)) == 1


def test_what_python_reads_before_keysvc_needs_a_start_of_its_own(
    tmp_path: Path, keysvc: Keysvc, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('read')\n", "utf-8")
    assert "read" not in keysvc("--version").err
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "read" in keysvc("--version").err
