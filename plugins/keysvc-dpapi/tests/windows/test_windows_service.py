"""The commands, and all of keysvc, on Windows with the master secret in the registry."""

from __future__ import annotations

import importlib.metadata
import json
import socket
import subprocess
import sys
import time
import uuid
import winreg
from pathlib import Path

import pytest
from keysvc_dpapi import service
from keysvc_dpapi.registry import RegistryKey

from keysvc.installation import config as configuration
from keysvc.plugin import Conflict
from keysvc.plugin.loading import Plugins

PATIENCE_SECONDS = 90


def keysvc(*arguments: str, status: int = 0) -> str:
    finished = subprocess.run(
        [sys.executable, "-m", "keysvc", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert finished.returncode == status, finished.stdout
    return finished.stdout


def wait_for(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def url(key: RegistryKey) -> str:
    return f"registry://HKLM/{key.path.replace(chr(92), '/')}"


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def config(tmp_path: Path, url: str, port: int) -> Path:
    """A system with its master secret in the registry."""
    listen = ("--listen", f"127.0.0.1:{port}")
    keysvc("init", "--dir", str(tmp_path / "system"), "--key-store", url, "--no-backup", *listen)
    return tmp_path / "system" / "keysvc.toml"


@pytest.fixture
def name():
    chosen = f"keysvc-test-{uuid.uuid4().hex[:8]}"
    yield chosen
    subprocess.run(
        [sys.executable, "-m", "keysvc", "service", "remove", "--name", chosen],
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def answers(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(5)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def test_a_service_serves_from_the_registry_until_it_is_stopped(config: Path, name: str, port: int) -> None:
    keysvc("service", "install", "--config", str(config), "--name", name)
    with pytest.raises(Conflict, match="already"):
        service.install(name, config, None)
    keysvc("service", "start", "--name", name)
    service.start(name)
    wait_for(lambda: answers(port), (config.parent / "service.log").read_text("utf-8"))
    assert json.loads(keysvc("status", "--config", str(config), "--json"))["master"] is not None
    keysvc("service", "stop", "--name", name)
    service.stop(name)
    assert not answers(port)
    assert json.loads(keysvc("status", "--config", str(config), "--json", status=1))["master"] is None
    keysvc("service", "remove", "--name", name)
    gone = keysvc("service", "start", "--name", name, status=1)
    assert gone.startswith(f"error: not-found: there is no service {name}; ")
    log = (config.parent / "service.log").read_text("utf-8")
    assert "a master secret server of" in log
    assert "Traceback" not in log


def test_a_service_that_cannot_serve_stops_and_says_why_in_its_log(config: Path, name: str, port: int) -> None:
    keysvc("service", "install", "--config", str(config), "--name", name)
    with socket.create_server(("127.0.0.1", port)):
        command = [sys.executable, "-m", "keysvc", "service", "start", "--name", name]
        pipes = {"stdin": subprocess.PIPE, "capture_output": True}
        subprocess.run(
            command, **pipes, timeout=PATIENCE_SECONDS, check=False
        )  # it may be seen running before it stops
        log = config.parent / "service.log"
        wait_for(lambda: log.exists() and "it is in use" in log.read_text("utf-8"), "the log does not say why")
    assert "has stopped" in keysvc("service", "stop", "--name", name)


def test_doctor_finds_a_loose_access_list_and_the_command_that_it_names_repairs_it(
    config: Path, url: str, key: RegistryKey
) -> None:
    from keysvc_dpapi import access
    from keysvc_dpapi.registry import RegistryShelf

    assert f"ok   version 1 opens from {url}" in keysvc("doctor", "--config", str(config), status=1)
    with winreg.OpenKey(
        winreg.HKEY_LOCAL_MACHINE, key.path, 0, winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY
    ) as handle:
        loose = access.AccessList([], access.ADMINISTRATORS)
        loose.descriptor += "(A;;KR;;;WD)"
        loose.apply(handle.handle)
    found = keysvc("doctor", "--config", str(config), status=1)
    assert "can be opened by Everyone" in found
    assert "keysvc registry protect" in found
    assert "was open to Everyone" in keysvc("registry", "protect", url)
    assert RegistryShelf(key).strangers() == []
    assert "was as it should be" in keysvc("registry", "protect", url)
    assert f"ok   version 1 opens from {url}" in keysvc("doctor", "--config", str(config), status=1)


def test_a_service_needs_a_configuration_that_exists(tmp_path: Path) -> None:
    refused = keysvc("service", "install", "--config", str(tmp_path / "none.toml"), status=1)
    assert refused.startswith("error: configuration: ")
    assert refused.count("\n") == 1


def test_what_windows_starts_is_one_process_that_reads_neither_environment_nor_current_folder() -> None:
    line = service.command_line("keysvc", Path("C:\\Program Files\\keysvc\\keysvc.toml"))
    assert " -I -c " in line
    assert line.endswith('keysvc "C:\\Program Files\\keysvc\\keysvc.toml"')
    assert line.startswith(('"' + sys.base_prefix, sys.base_prefix))


def test_the_parts_need_no_package_but_pluggy() -> None:
    parts = "access, dpapi, event_log, registry, service, service_process, win32"
    own = "from keysvc.plugin import hookspecs, sealed"
    code = f"import sys; {own}; from keysvc_dpapi import {parts}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], stdin=subprocess.PIPE, capture_output=True, check=True)
    packages = {name.partition(".")[0] for name in loaded.stdout.decode().split()}
    foreign = packages & set(importlib.metadata.packages_distributions()) - {"keysvc", "keysvc_dpapi"}
    assert foreign == {"pluggy"}


def test_reseal_moves_the_master_secret_from_the_registry_into_a_file_and_back(
    config: Path, url: str, key: RegistryKey
) -> None:
    def versions(at: str) -> list[int]:
        system_id = configuration.load(config).system_id
        return list(Plugins().key_stores.open(at, lambda _what: pytest.fail("asked"), system_id).versions())

    filed = (config.parent / "filed").as_uri()
    keysvc("--config", str(config), "secret", "reseal", "--to", filed)
    assert (versions(url), versions(filed)) == ([], [1])
    keysvc("--config", str(config), "secret", "reseal", "--to", url)
    assert (versions(url), versions(filed)) == ([1], [])
