"""keysvc as the demo runs it: commands and services as processes of their own, each with a log file."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from keysvc.errors import KeysvcError
from keysvc.installation.config import FILE_NAME

PATIENCE_SECONDS = 60.0
FREE_PORTS = (20_000, 32_768)


class DemoFailed(KeysvcError):
    """A step of the demo did not do what it should."""

    code = "demo-failed"
    default_hint = "run it again; if it fails again, report what it printed"


@dataclass(slots=True)
class Process:
    """A running service. Leaving its context ends it."""

    popen: subprocess.Popen[bytes]
    log: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()

    def kill(self) -> None:
        """SIGKILL: as a machine that loses power."""
        self.popen.kill()
        self.popen.wait()

    def end(self) -> None:
        """SIGTERM, and SIGKILL if that does not help. Repeatable."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=20)
            self.kill()


@dataclass(frozen=True, slots=True)
class Machine:
    """One configured directory, as if it were a machine of its own. `commands` are all that ran on it."""

    directory: Path
    logs: Path
    environment: abc.Mapping[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        """Its configuration file."""
        return self.directory / FILE_NAME

    def run(self, *arguments: str, configured: bool = True, stdin: str = "") -> str:
        """Run a command to its end; what it printed. Raises DemoFailed with its one line of error."""
        done = subprocess.run(
            self._command(arguments, configured),
            input=stdin.encode(),
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
            env=self._environment(),
        )
        self.logs.mkdir(exist_ok=True)
        with (self.logs / f"{self.directory.name}-commands.log").open("ab") as log:
            log.write(done.stderr)  # what is printed may be a join token
        if done.returncode:
            raise DemoFailed(f"`keysvc {' '.join(arguments[:2])}` failed: {done.stderr.decode().strip()}")
        return done.stdout.decode()

    def start(self, *arguments: str) -> Process:
        """Start a service."""
        self.logs.mkdir(exist_ok=True)
        log = self.logs / f"{self.directory.name}-{arguments[0]}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                self._command(arguments, configured=True),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(),
            )
        return Process(popen, log)

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("KEYSVC_")}
        return {**own, **self.environment}

    def _command(self, arguments: abc.Sequence[str], configured: bool) -> list[str]:
        where = ["--config", str(self.config)] if configured else []
        command = [sys.executable, "-m", "keysvc", *where, *arguments]
        self.commands.append(command)
        return command


def free_port() -> int:
    """A TCP port of the loopback interface that nobody uses now. It is below those that systems give to outgoing
    connections, so that none of them takes it before the service listens, or while it restarts."""
    while True:
        port = random.randrange(*FREE_PORTS)  # noqa: S311  spreads
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def wait_until(true: abc.Callable[[], bool], what: str) -> None:
    """Until it is true, however often it raises a KeysvcError meanwhile. Raises DemoFailed after a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    last = ""
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except KeysvcError as error:
            last = f": {error}"
        time.sleep(0.1)
    raise DemoFailed(f"waited a minute in vain for {what}{last}")
