"""A plugin that is broken, greedy, missing or unwanted stops nothing, and is named."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from keysvc.errors import ConfigurationError, KeyStoreError, KeyStoreUnavailable, PluginError, UnknownScheme
from keysvc.plugin.loading import HOOKS, Plugins
from keysvc.testing.conformance import told

GOOD = """
from keysvc.plugin.hookspecs import hookimpl

KEYSVC_API = 2

class Memo:
    def __init__(self, opening):
        self.opening = opening
    info = versions = seal = unseal = random = destroy = close = lambda self, *arguments: None

@hookimpl
def keysvc_key_stores(register):
    register("memo", Memo, summary="a memo", options={"pad": "which"})
"""

BAD = """
from keysvc.plugin.hookspecs import hookimpl
class Bad:
    def fail(self, *arguments, **options):
        raise {raised}
    {methods} = fail
@hookimpl
def {hook}(register):
    register("bad", lambda opening: Bad(), summary="bad", options={{}})
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
    assert found.kinds == ("key store",)
    opening = plugins.key_stores.open("memo:x?pad=blue", never, "5" * 32).opening
    assert opening.location.options == {"pad": "blue"}


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("raise RuntimeError('boom')", "import: RuntimeError: boom"),
        ("import keysvc_not_there", "import: ModuleNotFoundError"),
        ("import sys; sys.exit(3)", "import: SystemExit"),
        ("class Odd(BaseException): ...\nraise Odd", "import: Odd"),
        ("def keysvc_key_stores(register): ...", "implements no hook"),
        (GOOD.replace("keysvc_key_stores", "keysvc_keystores"), "keysvc_keystores is not a hook"),
        (GOOD.replace('"memo"', '"file"'), "file: is registered by file already"),
        (GOOD.replace("(register)", "(registrar)"), "registrar"),
        (GOOD.replace("    register(", "    raise ValueError('no'); register("), "keysvc_key_stores: ValueError: no"),
        (GOOD.replace("    register(", "    raise SystemExit; register("), "keysvc_key_stores: SystemExit"),
        (GOOD.replace("KEYSVC_API = 2", "KEYSVC_API = 3"), "was written for version 3 of the plugin API, this keysvc"),
    ],
)
def test_a_broken_plugin_is_named_with_its_problem_and_stops_nothing(install, source: str, problem: str) -> None:
    install("broken", source)
    plugins = Plugins()
    assert problem in report(plugins, "broken").problem
    assert report(plugins, "broken").hint
    assert report(plugins, "file").problem == ""
    assert plugins.key_stores.registrations["file"].plugin == "file"
    assert "memo" not in plugins.key_stores.registrations


def test_a_plugin_for_another_version_of_the_api_is_refused_and_says_what_to_upgrade(install) -> None:
    install("newer", GOOD.replace("KEYSVC_API = 2", "KEYSVC_API = 3"))
    install("older", GOOD.replace("KEYSVC_API = 2", "KEYSVC_API = 1"))
    install("elder", "from keysvc.plugin.interfaces import Oracle")
    plugins = Plugins()
    assert report(plugins, "newer").hint == "pip install --upgrade keysvc"
    assert report(plugins, "older").hint == "pip install --upgrade keysvc-older"
    assert "pip install --upgrade keysvc keysvc-elder" in report(plugins, "elder").hint
    with pytest.raises(UnknownScheme) as refused:
        plugins.key_stores.open("memo:x", never, "5" * 32)
    assert "elder, newer, older could not be loaded: `keysvc plugin list`" in refused.value.hint


def test_every_plugin_of_this_repository_says_which_version_it_was_written_for() -> None:
    modules = list((Path(__file__).parents[2] / "plugins").glob("*/keysvc_*/__init__.py"))
    assert modules
    assert [path for path in modules if "\nKEYSVC_API = 2\n" not in path.read_text("utf-8")] == []


def test_a_plugin_cannot_take_the_name_of_another_and_so_remove_it(install, tmp_path: Path) -> None:
    install("broken", GOOD)
    entry_points = tmp_path / "keysvc_broken-1.2.dist-info/entry_points.txt"
    entry_points.write_text("[keysvc]\nfile = keysvc_broken\n")
    plugins = Plugins()
    assert [bool(found.problem) for found in plugins.reports if found.name == "file"] == [False, True]
    assert plugins.key_stores.registrations["file"].plugin == "file"


def test_a_plugin_can_be_disabled_or_left_out_and_is_not_even_imported(
    install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("memo", "raise SystemExit")
    assert {found.name for found in Plugins(only=()).reports} == {"file", "log", "shares", "sqlite", "static"}
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

    code = "import keysvc.plugin.loading, sys; keysvc.plugin.loading.Plugins(only=()); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"sqlalchemy", "cryptography", "httptools", "uvicorn", "typer"} & set(loaded)


def test_an_option_may_be_written_in_any_case(install) -> None:
    install("memo", GOOD)
    assert Plugins().key_stores.open("memo:x?PAD=Blue", never, "5" * 32).opening.location.options == {"pad": "Blue"}
    with pytest.raises(ConfigurationError, match="twice"):
        Plugins().key_stores.open("memo:x?PAD=Blue&pad=green", never, "5" * 32)


@pytest.mark.parametrize("registry", Plugins(only=()).registries, ids=lambda registry: registry.kind)
@pytest.mark.parametrize(
    "raised", ["RuntimeError('geheim')", "SystemExit('geheim')", "type('Odd', (BaseException,), {})"]
)
def test_what_a_part_raises_in_any_method_becomes_one_error_that_names_it(install, registry, raised: str) -> None:
    methods = [name for name in vars(registry.interface) if not name.startswith("_")]
    hook = HOOKS[[other.kind for other in Plugins(only=()).registries].index(registry.kind)]
    install("bad", BAD.format(methods=" = ".join(methods), hook=hook, raised=raised))
    plugins = Plugins()
    failures = []
    plugins.on_failure = failures.append
    own = next(other for other in plugins.registries if other.kind == registry.kind)
    part = own.open("bad:x", never, "5" * 32)
    for method in methods:
        with pytest.raises(own.error) as refused:
            getattr(part, method)("an argument")
        said = f"the plugin bad of keysvc-bad failed in {registry.interface.__name__}.{method}: "
        assert str(refused.value).startswith(said)
        assert str(refused.value).endswith(" at keysvc_bad:5")
        assert "KEYSVC_DISABLED_PLUGINS=bad" in refused.value.hint
        assert "geheim" not in "".join(told(refused.value))
    assert [failure.where.partition(".")[2] for failure in failures] == methods


@pytest.mark.parametrize("raised", ["KeyStoreUnavailable", "KeyboardInterrupt"])
def test_an_error_of_keysvc_and_ctrl_c_pass_as_they_are(install, raised: str) -> None:
    methods = "info = versions = seal = unseal = random = destroy = close"
    source = BAD.format(methods=methods, hook="keysvc_key_stores", raised=f"{raised}('away')")
    install("bad", f"from keysvc.errors import *\n{source}")
    with pytest.raises((KeyStoreUnavailable, KeyboardInterrupt), match="away") as passed:
        Plugins().key_stores.open("bad:x", never, "5" * 32).versions()
    assert passed.type.__name__ == raised


def test_an_opener_that_raises_or_opens_something_else_is_named(install) -> None:
    install("memo", GOOD.replace('"memo", Memo', '"memo", lambda opening: 1 / 0'))
    with pytest.raises(
        KeyStoreError, match=r"the plugin memo of keysvc-memo failed in opening memo: ZeroDivisionError"
    ):
        Plugins().key_stores.open("memo:x", never, "5" * 32)


def test_a_part_that_lacks_a_method_is_refused_when_it_is_opened(install) -> None:
    install("memo", GOOD.replace("random = ", ""))
    with pytest.raises(PluginError, match=r"has no random\(\), so it is no key store"):
        Plugins().key_stores.open("memo:x", never, "5" * 32)


def test_the_author_may_see_the_whole_traceback(install, monkeypatch, capsys) -> None:
    install("memo", GOOD.replace('"memo", Memo', '"memo", lambda opening: 1 / 0'))
    monkeypatch.setenv("KEYSVC_TRACEBACK", "1")
    with pytest.raises(KeyStoreError):
        Plugins().key_stores.open("memo:x", never, "5" * 32)
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err
