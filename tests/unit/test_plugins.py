"""A plugin that is broken, greedy, missing or unwanted stops nothing, and is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from keysvc.errors import ConfigurationError, UnknownScheme
from keysvc.plugins import Plugins

GOOD = """
from keysvc.hookspecs import hookimpl

@hookimpl
def keysvc_key_stores(register):
    register("memo", lambda opening: opening, summary="a memo", options={"pad": "which"})
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Install a distribution with one module, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name: str, source: str) -> None:
        (tmp_path / f"keysvc_{name}.py").write_text(source)
        info = tmp_path / f"keysvc_{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: keysvc-{name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[keysvc]\n{name} = keysvc_{name}\n")
        sys.modules.pop(f"keysvc_{name}", None)

    return make


def report(plugins: Plugins, name: str):
    return next(found for found in plugins.reports if found.name == name)


def never(what: str):
    raise AssertionError(what)


def test_a_plugin_is_found_by_its_entry_point_and_opened_by_its_scheme(install) -> None:
    install("memo", GOOD)
    plugins = Plugins()
    found = report(plugins, "memo")
    assert (found.distribution, found.version, found.schemes, found.problem) == ("keysvc-memo", "1.2", ("memo",), "")
    opening = plugins.key_stores.open("memo:x?pad=blue", never, "5" * 32)
    assert opening.location.options == {"pad": "blue"}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import keysvc_not_there", "ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("def keysvc_key_stores(register): ...", "implements no hook"),
        (GOOD.replace("keysvc_key_stores", "keysvc_keystores"), "keysvc_keystores is not a hook"),
        (GOOD.replace('"memo"', '"file"'), "file: is registered by file already"),
        (GOOD.replace("(register)", "(registrar)"), "registrar"),
        (GOOD.replace("    register(", "    raise ValueError('no'); register("), "ValueError: no"),
    ],
)
def test_a_broken_plugin_is_named_with_its_problem_and_stops_nothing(install, source: str, problem: str) -> None:
    install("broken", source)
    plugins = Plugins()
    assert problem in report(plugins, "broken").problem
    assert report(plugins, "file").problem == ""
    assert plugins.key_stores.registrations["file"].plugin == "file"
    assert "memo" not in plugins.key_stores.registrations


def test_a_plugin_can_be_disabled_or_left_out_and_is_not_even_imported(
    install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("memo", "raise SystemExit")
    assert {found.name for found in Plugins(only=()).reports} == {"file", "log", "shares", "sqlite"}
    monkeypatch.setenv("KEYSVC_DISABLED_PLUGINS", "memo, log")
    assert not {"memo", "log"} & {found.name for found in Plugins().reports}


def test_a_known_scheme_without_its_plugin_says_what_to_install() -> None:
    plugins = Plugins(only=())
    with pytest.raises(UnknownScheme) as refused:
        plugins.key_stores.open("pkcs11:token=x", never, "5" * 32)
    assert refused.value.hint == "pip install keysvc-pkcs11"
    with pytest.raises(UnknownScheme) as refused:
        plugins.mapping_stores.open("mssql+pyodbc://x", never, "5" * 32)
    assert refused.value.hint == "pip install keysvc-mssql"
    with pytest.raises(UnknownScheme):
        plugins.notifiers.open("carrier-pigeon:x", never, "5" * 32)


def test_an_unknown_option_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Plugins().key_stores.open("file:///x?colour=red", never, "5" * 32)
    assert "'colour'" in str(refused.value)
    assert refused.value.hint == "options: key-file, passphrase-source, unlock"


def test_the_embedded_plugins_import_no_driver() -> None:
    import subprocess

    code = "import keysvc.plugins, sys; keysvc.plugins.Plugins(only=()); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "cryptography", "starlette", "uvicorn", "structlog", "typer"} & set(loaded)


def test_an_option_may_be_written_in_any_case(install) -> None:
    install("memo", GOOD)
    assert Plugins().key_stores.open("memo:x?PAD=Blue", never, "5" * 32).location.options == {"pad": "Blue"}
    with pytest.raises(ConfigurationError, match="twice"):
        Plugins().key_stores.open("memo:x?PAD=Blue&pad=green", never, "5" * 32)
