"""On other systems than Windows the plugin loads, costs nothing, and says in one line what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from keysvc.plugin import ConfigurationError
from keysvc.plugin.loading import Plugins

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="this is Windows")


def keysvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-Im", "keysvc", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_plugin_loads_without_windows_and_has_no_problem() -> None:
    plugins = Plugins()
    (report,) = [report for report in plugins.reports if report.name == "dpapi"]
    assert report.problem == ""
    assert report.schemes == ("registry", "eventlog")
    assert not {"keysvc_dpapi.win32", "keysvc_dpapi.registry", "keysvc_dpapi.commands"} & set(sys.modules)


def test_a_registry_is_refused_in_one_clear_line_and_nothing_is_left_behind(tmp_path: Path) -> None:
    where = ("--dir", str(tmp_path / "system"), "--no-backup")
    refused = keysvc("init", *where, "--key-store", "registry://HKLM/SOFTWARE/keysvc")
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == (
        "error: configuration: registry: needs Windows, whose registry and DPAPI it uses; "
        "use file: or pkcs11: on this machine\n"
    )
    assert [*tmp_path.glob("system/*")] == []


def test_an_event_log_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="eventlog: needs Windows"):
        Plugins().notifiers.open("eventlog:", lambda _what: None, "5" * 32)


@pytest.mark.parametrize(
    "command",
    [
        ("service", "install", "--config", "keysvc.toml"),
        ("service", "start"),
        ("service", "stop"),
        ("service", "remove"),
        ("registry", "protect", "registry://HKLM/SOFTWARE/keysvc"),
    ],
)
def test_the_commands_are_refused_in_one_line_but_explain_themselves(command: tuple[str, ...]) -> None:
    refused = keysvc(*command)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: configuration: this needs Windows; ")
    assert "keysvc " + " ".join(command[:2]) in keysvc(*command[:2], "--help").stdout
