"""`keysvc plugin check URL`: the quick part of the conformance suites, on a configuration that may be in use.

It is harmless there: a key store is given throw-away versions, numbered from 4,000,000,000, of a system of their own; a
mapping store a throw-away application; a notifier events that say what they are; an authorizer is asked for names that
nobody has. All of it is taken away again.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import tempfile
from collections import abc
from dataclasses import dataclass
from typing import Any

import pytest

from keysvc.plugin.interfaces import Authorizer, KeyStore, MappingStore, Notifier
from keysvc.testing.check.throw_away import FIRST_VERSION

Part = KeyStore | MappingStore | Notifier | Authorizer
KINDS: abc.Mapping[str, str] = {
    "key store": "key_store",
    "mapping store": "mapping_store",
    "notifier": "notifier",
    "authorizer": "authorizer",
}


@dataclass(frozen=True, slots=True)
class Promise:
    """A promise of the contract, and whether the part kept it: `outcome` is kept, broken or skipped."""

    text: str
    outcome: str
    why: str = ""


def run(kind: str, open_part: abc.Callable[[str], Any], told: abc.Callable[[Promise], None]) -> list[Promise]:
    """Check a part of `kind`, which `open_part(system_id)` opens again at each call; tell each promise as it is known.

    Raises what opening it raises: a wrong PIN is tried once. Nothing of the current directory is read or written.
    """
    bench = _Bench(open_part, told)
    with contextlib.closing(open_part(bench.system_id)) as part:
        if kind == "key store":
            _remove_left_over(part)
    with tempfile.TemporaryDirectory() as folder, _alone(), contextlib.redirect_stdout(io.StringIO()):
        pytest.main(
            [
                *("--pyargs", f"keysvc.testing.check.test_{KINDS[kind]}", "--import-mode=importlib"),
                *("-c", os.devnull, "--rootdir", folder, "--basetemp", f"{folder}/files"),
                *("--noconftest", "-p", "no:cacheprovider", "-p", "keysvc.testing.pytest_plugin"),
            ],
            plugins=[bench],
        )
    return bench.promises


def _remove_left_over(store: KeyStore) -> None:
    """Of a check that was killed."""
    for version in store.versions():
        if version >= FIRST_VERSION:
            store.destroy(version)


@contextlib.contextmanager
def _alone() -> abc.Iterator[None]:
    """Without the options and plugins that this machine's other projects give pytest."""
    before = dict(os.environ)
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.environ.pop("PYTEST_PLUGINS", None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Bench:
    """A plugin of pytest: opens the part for the tests, and hears how they went."""

    def __init__(self, open_part: abc.Callable[[str], Part], told: abc.Callable[[Promise], None]) -> None:
        self.system_id = secrets.token_hex(16)
        self.promises: list[Promise] = []
        self._open_part = open_part
        self._told = told

    @pytest.fixture
    def open_part(self) -> abc.Iterator[abc.Callable[[], Part]]:
        """What is opened is closed when the test ends."""
        with contextlib.ExitStack() as opened:
            yield lambda: opened.enter_context(contextlib.closing(self._open_part(self.system_id)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One promise for each test; a second one where cleaning up failed."""
        if report.when == "call" or report.outcome != "passed":
            outcome = {"passed": "kept", "failed": "broken", "skipped": "skipped"}[report.outcome]
            promise = Promise(_sentence(report.nodeid), outcome, _why(report))
            self.promises.append(promise)
            self._told(promise)


def _sentence(nodeid: str) -> str:
    name, bracket, parameter = nodeid.rpartition("::")[2].partition("[")
    return name.removeprefix("test_").replace("_", " ") + (f" ({parameter[:-1]})" if bracket else "")


def _why(report: pytest.TestReport) -> str:
    match report.longrepr:
        case (_, _, reason):
            return str(reason).removeprefix("Skipped: ")
        case None:
            return ""
        case shown:
            crash = getattr(shown, "reprcrash", None)
            lines = str(crash.message if crash else shown).splitlines()
            return " ".join(lines[:1])
