"""keysvc as a Windows service, as the service control manager sees it: install, start, stop, remove. Windows only."""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
import sys
import sysconfig
import time
from collections import abc
from ctypes import byref
from pathlib import Path

from keysvc.plugin import AccessDenied, Conflict, KeysvcError, NotFound
from keysvc_dpapi import event_log, win32

DESCRIPTION = "Guards the master secret of a keysvc system and hands it to its SSO servers."
SLOWEST_SECONDS = 60.0
_BOOTSTRAP = "import site; site.addsitedir({site!r}); from keysvc_dpapi import service_process; service_process.main()"
_ELEVATE = "run it in a terminal that was started as administrator"


def install(name: str, config: Path, account: str | None) -> None:
    r"""Register the service, started with Windows, and its source in the event log. `account` is one without a password
    (NT SERVICE\name, a group managed account); LocalSystem unless given. Raises Conflict, AccessDenied."""
    with _services(win32.SC_MANAGER_CONNECT | win32.SC_MANAGER_CREATE_SERVICE) as services:
        created = win32.CreateService(
            *(services, name, f"keysvc ({name})" if name != "keysvc" else name, win32.SERVICE_ALL_ACCESS),
            *(win32.SERVICE_WIN32_OWN_PROCESS, win32.SERVICE_AUTO_START, win32.SERVICE_ERROR_NORMAL),
            *(command_line(name, config), None, None, None, account, None),
        )
        with _closing(created, name) as service:
            description = win32.SERVICE_DESCRIPTION(DESCRIPTION)
            win32.ChangeServiceConfig2(service, win32.SERVICE_CONFIG_DESCRIPTION, byref(description))
    event_log.register_source()


def start(name: str) -> None:
    """Returns when it runs. Raises NotFound, AccessDenied, Conflict when it stopped by itself."""
    with _service(name, win32.SERVICE_START | win32.SERVICE_QUERY_STATUS) as service:
        deadline = time.monotonic() + SLOWEST_SECONDS
        while not win32.StartService(service, 0, None):
            if ctypes.get_last_error() == win32.ERROR_SERVICE_DATABASE_LOCKED and time.monotonic() < deadline:
                time.sleep(0.1)  # Windows itself is still starting
                continue
            _refuse_unless(win32.ERROR_SERVICE_ALREADY_RUNNING, name)
            break
        state = _settled(service, name, win32.SERVICE_START_PENDING)
        if state != win32.SERVICE_RUNNING:
            raise Conflict(f"the service {name} stopped by itself", hint="read service.log beside its configuration")


def stop(name: str) -> None:
    """Returns when it has stopped. Repeatable. Raises NotFound, AccessDenied."""
    with _service(name, win32.SERVICE_STOP | win32.SERVICE_QUERY_STATUS) as service:
        if not win32.ControlService(service, win32.SERVICE_CONTROL_STOP, byref(win32.SERVICE_STATUS())):
            _refuse_unless(win32.ERROR_SERVICE_NOT_ACTIVE, name)
        _settled(service, name, win32.SERVICE_STOP_PENDING, win32.SERVICE_RUNNING)


def remove(name: str) -> None:
    """Stop it, and take it from the list of services. The key store and the configuration stay. Raises NotFound,
    AccessDenied."""
    stop(name)
    with _service(name, win32.DELETE) as service:
        if not win32.DeleteService(service):
            _refuse_unless(win32.NO_ERROR, name)
    event_log.forget_source()


def command_line(name: str, config: Path) -> str:
    """What Windows starts. Not the python.exe of a virtual environment, which starts another process: Windows waits
    for the one that it started."""
    bootstrap = _BOOTSTRAP.format(site=sysconfig.get_path("purelib"))
    python = str(Path(sys.base_prefix) / "python.exe")
    return subprocess.list2cmdline([python, "-I", "-c", bootstrap, name, str(config)])


def _settled(service: int, name: str, *passing: int) -> int:
    status, deadline = win32.SERVICE_STATUS(), time.monotonic() + SLOWEST_SECONDS
    while True:
        if not win32.QueryServiceStatus(service, byref(status)):
            _refuse_unless(win32.NO_ERROR, name)
        if status.dwCurrentState not in passing:
            return int(status.dwCurrentState)
        if time.monotonic() > deadline:
            raise Conflict(f"the service {name} has not settled after {SLOWEST_SECONDS:.0f} s")
        time.sleep(0.1)


@contextlib.contextmanager
def _services(access: int) -> abc.Iterator[int]:
    with _closing(win32.OpenSCManager(None, None, access), "list") as services:
        yield services


@contextlib.contextmanager
def _service(name: str, access: int) -> abc.Iterator[int]:
    with (
        _services(win32.SC_MANAGER_CONNECT) as services,
        _closing(win32.OpenService(services, name, access), name) as service,
    ):
        yield service


@contextlib.contextmanager
def _closing(handle: int | None, name: str) -> abc.Iterator[int]:
    if not handle:
        raise _error(ctypes.get_last_error(), name)
    try:
        yield handle
    finally:
        win32.CloseServiceHandle(handle)


def _refuse_unless(expected: int, name: str) -> None:
    error = ctypes.get_last_error()
    if error != expected:
        raise _error(error, name)


def _error(error: int, name: str) -> KeysvcError:
    if error == win32.ERROR_SERVICE_DOES_NOT_EXIST:
        return NotFound(f"there is no service {name}", hint="keysvc service install --config PATH")
    if error == win32.ERROR_SERVICE_EXISTS:
        return Conflict(f"there is a service {name} already", hint="keysvc service remove, or give --name another")
    what = ctypes.WinError(error)
    if isinstance(what, PermissionError):
        return AccessDenied(f"the service {name}: access is denied", hint=_ELEVATE)
    return Conflict(f"the service {name}: {what.strerror} ({error})", hint="see the system log of Windows")
