"""Builds the shim once, and gives each test a token of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections import abc
from pathlib import Path

import pytest

from .bench import PATIENCE, SHIM, Bench

HSM = SHIM.parent


def need(command: str, package: str) -> None:
    """Skips, and says what to install; in CI nothing is missing by accident."""
    if shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin"):
        return
    reason = f"no {command} on this machine: install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def environment_of(script: Path, folder: Path) -> dict[str, str]:
    """What up.sh prints, as a shell reads it."""
    printed = subprocess.run([script, folder], check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    return dict(word.split("=", 1) for word in shlex.split(printed) if word != "export")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("make", "make")
    need("cc", "gcc or clang")
    out = tmp_path_factory.mktemp("shim")
    built = subprocess.run(["make", "-C", HSM / "shim", f"OUT={out}"], check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return out / "pkcs11-shim.so"


@pytest.fixture
def bench(shim: Path, tmp_path: Path) -> abc.Iterator[Bench]:
    need("softhsm2-util", "softhsm2 (Debian), softhsm (Fedora, Homebrew)")
    bench = Bench(shim, environment_of(HSM / "softhsm/up.sh", tmp_path / "token"), tmp_path)
    yield bench
    for running in bench.running:
        running.process.kill()
        running.process.communicate()
