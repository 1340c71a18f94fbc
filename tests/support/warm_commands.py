"""Commands as processes of their own, without the start of Python, which is most of the time of a short command.

The first command of a test run starts a process that imports what commands import, and forks for each of them. A fork
runs `python -m keysvc` from its first line to the end of the interpreter, with arguments, environment, standard streams
and exit status of its own. Only the imports are shared. Services start without it, and so does what a test starts by
`sys.executable`; with KEYSVC_TEST_COLD=1, as in the environments oldest and newest, so does every command.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
from collections import abc
from pathlib import Path
from typing import Any

LONGEST = 1 << 17
OF_EACH = ("HOME", "PYTEST_CURRENT_TEST")
NOT_OF_COMMANDS = ("keysvc.__main__", "keysvc.testing", "keysvc.cli.authoring.templates")


def settled(environment: abc.Mapping[str, str]) -> dict[str, str]:
    """Return what a process must have been started with: all but what keysvc reads when it runs."""
    return {key: value for key, value in environment.items() if not key.startswith("KEYSVC_") and key not in OF_EACH}


def usable(environment: abc.Mapping[str, str]) -> bool:
    """Return whether a fork can have this environment: PYTHONPATH and LANG matter before keysvc begins."""
    return not os.environ.get("KEYSVC_TEST_COLD") and settled(environment) == _starter().environment


def run(
    arguments: abc.Sequence[str], stdin: str, environment: abc.Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run `python -m keysvc` to its end, as `subprocess.run` with captured output does."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        request = json.dumps([arguments, dict(environment), str(Path.cwd())]).encode()
        status = _starter().run(request, [each.fileno() for each in (given, out, err)], seconds)
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([*arguments], status, out.read().decode(), err.read().decode())


class Starter:
    """The process that has imported everything. `environment` is what each command has in common with it."""

    def __init__(self, warnings: abc.Mapping[str, str]) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
        self.environment = settled({**inherited, **warnings})
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            command = [sys.executable, "-P", __file__, str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, env=self.environment, pass_fds=[theirs.fileno()]
            )
        atexit.register(self.end)

    def run(self, request: bytes, streams: abc.Sequence[int], seconds: float) -> int:
        """The exit status of one command; several may run at once."""
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with answers, theirs:
            with self._lock:
                socket.send_fds(self._control, [request], [*streams, theirs.fileno()])
            theirs.close()
            pid = int(answers.recv(LONGEST))
            answers.settimeout(seconds)
            try:
                return int(answers.recv(LONGEST))
            except TimeoutError:
                os.kill(pid, 9)
                raise subprocess.TimeoutExpired(request.decode(), seconds) from None

    def end(self) -> None:
        self._control.close()
        self._process.wait()


@functools.cache
def _starter() -> Starter:
    from systems import TELLING_OF_LEAKS

    return Starter(TELLING_OF_LEAKS)


def _next_command(control: socket.socket) -> tuple[Any, list[int]] | None:
    """Return in each fork what to run there and its streams, and None here when no more come."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in waiting.select():
                if key.fileobj is not control:
                    pid, answers = key.data
                    waiting.unregister(key.fileobj)
                    os.close(key.fd)
                    _answer(answers, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                    os.close(answers)
                    continue
                request, descriptors, _, _ = socket.recv_fds(control, LONGEST, 4)
                if not request:
                    return None
                *streams, answers = descriptors
                pid = os.fork()
                if not pid:
                    for other in waiting.get_map().values():
                        if other.data:
                            os.close(other.fd)
                            os.close(other.data[1])
                    os.close(answers)
                    return json.loads(request), streams
                for stream in streams:
                    os.close(stream)
                _answer(answers, pid)
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answers))


def _answer(descriptor: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # whoever asked waited too long
        os.write(descriptor, str(number).encode())


def _import_everything() -> None:
    """Import what commands import when they need it, and the plugins that are installed."""
    import keysvc
    from keysvc.plugin.loading import Plugins

    for module in pkgutil.walk_packages(keysvc.__path__, "keysvc.", onerror=lambda _name: None):
        if not module.name.startswith(NOT_OF_COMMANDS):
            with contextlib.suppress(ImportError):  # the command that needs it says so
                importlib.import_module(module.name)
    Plugins()


def _serve(control: socket.socket) -> None:
    _import_everything()
    gc.freeze()  # a collection in a fork would copy every page
    with control:
        command = _next_command(control)
    if command is None:
        return
    (arguments, environment, directory), streams = command
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    sys.argv = ["keysvc", *arguments]
    runpy.run_module("keysvc", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
