"""After hardening, a crash leaves nothing behind, and nobody of the same user looks in."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from keysvc.crypto import memory

PROGRAM = """
import os, resource, sys
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
from keysvc.crypto.memory import harden_process
if sys.argv[1] == "harden":
    print(harden_process())
    print(harden_process())
import ctypes
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))
sys.stdout.flush()
os.abort()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")


def run(mode, directory):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )


@linux
def test_a_hardened_process_is_not_dumpable_and_leaves_no_core(tmp_path):
    done = run("harden", tmp_path)
    assert done.stdout.splitlines() == ["()", "()", "0 (0, 0)"], done.stderr
    assert done.returncode == -signal.SIGABRT
    assert list(tmp_path.iterdir()) == []


@linux
def test_an_ordinary_process_is_dumpable_so_the_test_above_can_fail(tmp_path):
    assert run("leave", tmp_path).stdout.startswith("1 ")


@linux
def test_what_could_not_be_had_is_said(monkeypatch):
    class Refusing:
        def prctl(self, *_):
            return -1

    def refuse(*_):
        raise ValueError

    monkeypatch.setattr("resource.setrlimit", refuse)
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_, **__: Refusing())
    assert len(memory.harden_process()) == 2
