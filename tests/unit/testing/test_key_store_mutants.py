"""Wrong key stores: each fails the test that is named after its sin, and the right one passes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import os
import pytest
from keysvc.errors import SealBroken, VersionAlreadySealed, VersionNotFound
from keysvc.plugin.interfaces import KeyStoreInfo
from keysvc.testing import KeyStoreConformance
from keysvc.testing.key_store import secret

class Memory:
    def __init__(self, kept): self.kept = kept
    def info(self): return KeyStoreInfo("memory:", "nothing", False, True)
    def versions(self): return sorted(self.kept)
    def seal(self, s):
        if self.kept.setdefault(s.version, s) != s: raise VersionAlreadySealed("another")
    def unseal(self, v):
        if v not in self.kept: raise VersionNotFound("none")
        return self.kept[v]
    def random(self, count): return os.urandom(count)
    def destroy(self, v): self.kept.pop(v, None)
    def close(self): pass

Store = Memory
"""
TAIL = """
class TestIt(KeyStoreConformance):
    @pytest.fixture
    def open_store(self):
        kept = {}
        return lambda: Store(kept)
"""
SINS = {
    "nothing": ("", None),
    "overwrites": (
        "class Store(Memory):\n    def seal(self, s): self.kept[s.version] = s",
        "test_a_version_is_never_replaced_by_another_secret",
    ),
    "is_not_random": (
        "class Store(Memory):\n    def random(self, count): return bytes(count)",
        "test_its_random_bytes_are_as_many_as_asked_for_and_never_the_same",
    ),
    "does_not_destroy": (
        "class Store(Memory):\n    def destroy(self, v): pass",
        "test_a_destroyed_version_is_gone_for_good",
    ),
    "forgets": (
        "class Store(Memory):\n    def __init__(self, kept): self.kept = {}",
        "test_what_was_sealed_is_unsealed_after_a_restart",
    ),
    "destroys_once": (
        "class Store(Memory):\n    def destroy(self, v): del self.kept[v]",
        "test_destroying_is_repeatable",
    ),
    "leaks": (
        "class Store(Memory):\n    def seal(self, s):\n"
        "        if self.kept.setdefault(s.version, s) != s: raise VersionAlreadySealed(s.material.reveal().hex())",
        "test_what_it_says_of_itself_shows_no_secret",
    ),
    "is_unordered": (
        "class Store(Memory):\n    def versions(self): return list(self.kept)",
        "test_versions_are_ascending",
    ),
    "makes_one_up": (
        "class Store(Memory):\n    def unseal(self, v): return self.kept.get(v) or secret(v)",
        "test_an_unknown_version_is_not_found",
    ),
    "closes_once": (
        "class Store(Memory):\n    def close(self): del self.kept",
        "test_closing_is_repeatable",
    ),
}


def failed(folder: Path, source: str) -> set[str]:
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder).stdout
    assert " passed" in out, out
    return {line.split("::")[-1].split()[0] for line in out.splitlines() if line.startswith("FAILED")}


@pytest.mark.parametrize("sin", SINS)
def test_a_wrong_store_fails_the_test_named_after_its_sin(sin: str, tmp_path: Path) -> None:
    code, test = SINS[sin]
    found = failed(tmp_path, HEAD + code + TAIL)
    assert found == set() if test is None else test in found, found


def test_an_author_who_empties_a_test_is_caught_and_one_who_gives_a_reason_is_not(tmp_path: Path) -> None:
    emptied = "    def test_versions_are_ascending(self): pass\n"
    assert failed(tmp_path, HEAD + TAIL + emptied) == {"test_the_suite_runs_whole"}
    assert failed(tmp_path, HEAD + TAIL + "    test_versions_are_ascending = None\n") == {"test_the_suite_runs_whole"}
    excused = (
        "    @pytest.mark.xfail(reason='numbers are random')\n    def test_versions_are_ascending(self): assert 0\n"
    )
    assert failed(tmp_path, HEAD + TAIL + excused) == set()
