"""Plugins that raise at import, at registration, when opened and at each call: the service goes on, and names them."""

from __future__ import annotations

import contextlib
import json
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.errors import KeysvcError
from keysvc.installation import config as configuration
from keysvc.installation.assembly import master_client
from keysvc.plugin.interfaces import KeyStore, MappingStore

HEAD = "from keysvc.plugin.hookspecs import hookimpl\n"
FAILING = (
    HEAD
    + """
import os
from pathlib import Path
from keysvc.stores.file import open_file
from keysvc.stores.sqlite import open_sqlite

class Failing:
    '''Another part, but for the method whose name is in the file: that raises what no part may raise.'''
    def __init__(self, part):
        self.part = part
    def __getattr__(self, name):
        found = getattr(self.part, name)
        def method(*arguments, **options):
            if Path(os.environ["FAILS"]).read_text() == name:
                raise SystemExit("geheim")
            return found(*arguments, **options)
        return method

@hookimpl
def keysvc_key_stores(register):
    register("failing", lambda opening: Failing(open_file(opening)), summary="fails", options={})

@hookimpl
def keysvc_mapping_stores(register):
    register("failing", lambda opening: Failing(open_sqlite(opening)), summary="fails", options={})
"""
)
NOTIFIER = (
    HEAD
    + """
class Notifier:
    def deliver(self, event):
        raise BaseException("geheim")
    def close(self):
        raise ValueError("geheim")

def open_never(opening):
    raise LookupError("geheim")

@hookimpl
def keysvc_notifiers(register):
    register("at-call", lambda opening: Notifier(), summary="fails", options={})
    register("at-open", open_never, summary="fails", options={})
"""
)
PLUGINS = {
    "failing": FAILING,
    "notifier": NOTIFIER,
    "import": "raise RuntimeError('at import')",
    "registration": HEAD + "@hookimpl\ndef keysvc_notifiers(register):\n    raise SystemExit(3)",
    "newer": HEAD + "KEYSVC_API = 99\n@hookimpl\ndef keysvc_notifiers(register): ...",
}
NOTIFIERS = ("log:", "at-call:x", "at-open:x", "at-import:x")


def installed(folder: Path) -> Path:
    """The plugins, as pip would install them."""
    for name, source in PLUGINS.items():
        info = folder / f"keysvc_{name}_plugin-1.dist-info"
        info.mkdir(parents=True)
        (folder / f"keysvc_{name}_plugin.py").write_text(source)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: keysvc-{name}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[keysvc]\n{name} = keysvc_{name}_plugin\n")
    return folder


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a method in this file, and it fails. All processes of the test see the plugins."""
    monkeypatch.setenv("PYTHONPATH", str(installed(tmp_path / "plugins")))
    monkeypatch.setenv("FAILS", str(tmp_path / "fails"))
    (tmp_path / "fails").write_text("")
    return tmp_path / "fails"


class SiteOfItsOwnPlugins(Site):
    """Its processes see the plugins, this one does not."""

    def state(self) -> dict:
        return json.loads(self("status", "--json", ok=None).out)


@pytest.fixture
def broken_site(tmp_path: Path, keysvc: Keysvc, fails: Path) -> abc.Iterator[Site]:
    """A master all of whose parts can fail."""
    site = SiteOfItsOwnPlugins(tmp_path, keysvc)
    where = site.machine.directory
    site.init("--no-backup", "--key-store", f"failing://{where}/secret", "--mapping-store", f"failing:///{where}/db")
    configuration.change(site.machine.config, {"notifiers": NOTIFIERS})
    yield site
    site.end()


def test_the_service_starts_goes_on_and_names_each_plugin_and_what_to_do(broken_site: Site, fails: Path) -> None:
    serving = broken_site.serve()
    eventually(lambda: b"Notifier.deliver" in serving.log.read_bytes())
    eventually(lambda: serving.log.read_bytes().count(b'"event": "plugin.failed"') >= 4)
    lines = [json.loads(line) for line in serving.log.read_text().splitlines() if line.startswith("{")]
    failures = {
        line["plugin"]: line for line in lines if line["event"] == "a plugin failed" if "at-open" not in line["where"]
    }
    assert {name: (line["where"], line["problem"].partition(" at keysvc")[0]) for name, line in failures.items()} == {
        "import": ("import", "RuntimeError: at import"),
        "registration": ("keysvc_notifiers", "SystemExit: 3"),
        "newer": ("declaration", failures["newer"]["problem"]),
        "notifier": ("Notifier.deliver", "BaseException"),
    }
    assert all(line["hint"] for line in failures.values())
    opened = {line["notifier"]: line["problem"] for line in lines if line["event"] == "a notifier cannot be opened"}
    assert "failed in opening at-open: LookupError" in opened["at-open:x"]
    assert "no installed plugin opens at-import:" in opened["at-import:x"]
    assert any(line["event"] == "system.configured" for line in lines), "the notifier that works goes on"
    told = {line["detail"]["subject"] for line in lines if line["event"] == "plugin.failed"}
    assert told >= {"import", "registration", "newer"}
    assert broken_site.state()["state"] == "ready"
    serving.end()
    assert serving.popen.returncode == 0
    assert "geheim" not in serving.log.read_text()


def test_every_method_of_a_store_may_fail_and_the_service_outlives_it(broken_site: Site, fails: Path) -> None:
    serving = broken_site.serve()
    config = configuration.load(broken_site.machine.config)
    refused: dict[str, KeysvcError] = {}
    stores = [name for kind in (KeyStore, MappingStore) for name in vars(kind) if not name.startswith("_")]
    with contextlib.closing(master_client(config)) as client:
        for method in ("random", "seal", "commit", *stores):  # these three first: no rotation is under way yet
            fails.write_text(method, "utf-8")
            for ask in (client.rotate, client.status):
                try:
                    ask()
                except KeysvcError as error:
                    refused.setdefault(method, error)
            fails.write_text("", "utf-8")
        eventually(lambda: client.status().state in ("ready", "rotating"), 60)
    codes = {method: error.code for method, error in refused.items()}
    wanted = {"random": "key-store", "seal": "key-store", "system": "mapping-store", "commit": "mapping-store"}
    assert wanted.items() <= codes.items()
    for method, error in refused.items():
        assert f".{method}: SystemExit at keysvc_failing_plugin:" in str(error)
        assert "update keysvc-failing" in error.hint
    assert serving.popen.poll() is None
    assert "geheim" not in serving.log.read_text()


def test_a_command_that_a_store_fails_says_one_line(broken_site: Site, fails: Path) -> None:
    fails.write_text("versions", "utf-8")
    done = broken_site("secret", "list", ok=False)
    assert done.err.startswith("error: mapping-store: the plugin failing of keysvc-failing failed in MappingStore.")
    assert "geheim" not in done.err
    done = broken_site("plugin", "list", "--json")
    health = {found["name"]: found["problem"].partition(":")[0] for found in json.loads(done.out)}
    assert {name: where for name, where in health.items() if where} == {
        "import": "import", "newer": "declaration", "registration": "keysvc_notifiers",
    }  # fmt: skip
