"""The process that Windows starts for the service: it runs `keysvc serve` until Windows says stop. Windows only.

`keysvc serve` has the main thread, and with it the signals; Windows is spoken to from another.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import runpy
import signal
import sys
import threading
from ctypes import byref
from pathlib import Path

from keysvc_dpapi import win32

LOG = "service.log"
CONNECTING_SECONDS = 30.0
STOPPING_MILLISECONDS = 60_000


class ServiceProcess:
    """One service in a process of its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle = 0
        self._connected = threading.Event()
        self._finished = threading.Event()
        self._main = win32.SERVICE_MAIN_FUNCTION(self._serve)  # kept: Windows calls them later
        self._handler = win32.HANDLER_FUNCTION_EX(self._handle_control)

    def connect(self) -> bool:
        """Whether Windows started this process as the service."""
        threading.Thread(target=self._dispatch, daemon=True).start()
        return self._connected.wait(CONNECTING_SECONDS) and bool(self._handle)

    def report(self, state: int, exit_status: int = 0) -> None:
        """Tell Windows."""
        running = state == win32.SERVICE_RUNNING
        win32.SetServiceStatus(
            self._handle,
            byref(
                win32.SERVICE_STATUS(
                    win32.SERVICE_WIN32_OWN_PROCESS,
                    state,
                    win32.SERVICE_ACCEPT_STOP | win32.SERVICE_ACCEPT_SHUTDOWN if running else 0,
                    win32.ERROR_SERVICE_SPECIFIC_ERROR if exit_status else win32.NO_ERROR,
                    exit_status,
                    0,
                    STOPPING_MILLISECONDS if state == win32.SERVICE_STOP_PENDING else 0,
                )
            ),
        )

    def finish(self, exit_status: int) -> None:
        """It has stopped."""
        self.report(win32.SERVICE_STOPPED, exit_status)
        self._finished.set()

    def _dispatch(self) -> None:
        table = (win32.SERVICE_TABLE_ENTRY * 2)(win32.SERVICE_TABLE_ENTRY(self._name, self._main))
        win32.StartServiceCtrlDispatcher(table)  # returns when the service has stopped, or at once where it is none
        self._connected.set()

    def _serve(self, _count: int, _arguments: object) -> None:
        self._handle = win32.RegisterServiceCtrlHandlerEx(self._name, self._handler, None)
        self._connected.set()
        self._finished.wait()

    def _handle_control(self, control: int, _kind: int, _data: object, _context: object) -> int:
        if control in (win32.SERVICE_CONTROL_STOP, win32.SERVICE_CONTROL_SHUTDOWN):
            self.report(win32.SERVICE_STOP_PENDING)
            _thread.interrupt_main(signal.SIGTERM)
            return win32.NO_ERROR
        return win32.NO_ERROR if control == win32.SERVICE_CONTROL_INTERROGATE else win32.ERROR_CALL_NOT_IMPLEMENTED


def main() -> None:
    """Arguments: the service's name, the configuration file."""
    name, config = sys.argv[1:]
    log = (Path(config).parent / LOG).open("a", encoding="utf-8", buffering=1)
    sys.stdout = sys.stderr = log
    ctypes.set_last_error(0)
    service = ServiceProcess(name)
    if not service.connect():
        log.write(f"this is the service {name}, which Windows starts: keysvc service start\n")
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until `keysvc serve` has set its own
    service.report(win32.SERVICE_RUNNING)
    status = 1
    try:
        status = _run_keysvc("serve", "--config", config)
    finally:
        log.flush()
        service.finish(status)
    os._exit(status)  # Windows may end the process now at any time; nothing is left to do


def _run_keysvc(*arguments: str) -> int:
    sys.argv = ["keysvc", *arguments]
    try:
        runpy.run_module("keysvc", run_name="__main__", alter_sys=True)
    except SystemExit as exited:
        return exited.code if isinstance(exited.code, int) else int(exited.code is not None)
    return 0
