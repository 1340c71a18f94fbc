"""A token, the shim before it, and applications that use it, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from collections import abc
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHIM = Path(__file__).parents[1] / "shim"
RESULTS = {
    int(value, 0): name
    for name, value in re.findall(r"^RESULT\((\w+), (\w+)\)", (SHIM / "results.h").read_text("utf-8"), re.MULTILINE)
}
PATIENCE = 30  # seconds, for what takes milliseconds on an idle machine


@dataclass(frozen=True, slots=True)
class Running:
    """An application in a process of its own; each verb of application.py can be asked of it."""

    process: subprocess.Popen[str]

    def ask(self, verb: str, *arguments: object, seconds: float = PATIENCE) -> tuple[str | None, Any]:
        """The return value by name, None where there is no such function, and the result.

        Raises TimeoutError when no answer comes in time, EOFError when the process is gone.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([verb, *arguments]) + "\n")
        stdin.flush()
        if not select.select([stdout], [], [], seconds)[0]:
            raise TimeoutError(verb)
        line = stdout.readline()
        if not line:
            raise EOFError(verb)
        rv, result = json.loads(line)
        return (None if rv is None else RESULTS.get(rv, hex(rv))), result

    def __call__(self, verb: str, *arguments: object) -> str | None:
        return self.ask(verb, *arguments)[0]

    def result(self, verb: str, *arguments: object) -> Any:
        rv, result = self.ask(verb, *arguments)
        assert rv == "CKR_OK", f"{verb}: {rv}"
        return result

    def ready(self) -> Running:
        """Initialised, with a session, not logged in."""
        assert [self(verb) for verb in ("initialize", "find_slot", "open")] == ["CKR_OK"] * 3
        return self

    def status(self) -> int:
        """How the process ended, negative for a signal."""
        return self.process.wait(PATIENCE)

    def errors(self) -> str:
        """What it wrote to stderr, when it is over."""
        return self.process.communicate(timeout=PATIENCE)[1]


@dataclass(frozen=True, slots=True)
class Bench:
    """A token, the shim before it, a script and a trace; applications are started on it."""

    module: Path
    environment: abc.Mapping[str, str]
    folder: Path
    running: list[Running] = field(default_factory=list)

    @property
    def pin(self) -> str:
        return Path(self.environment["KEYSVC_TEST_PKCS11_PIN_FILE"]).read_text("ascii").strip()

    @property
    def script(self) -> Path:
        return self.folder / "script"

    def write_script(self, *lines: str) -> None:
        new = self.script.with_suffix(".new")
        new.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        new.replace(self.script)

    def trace(self) -> list[str]:
        return (self.folder / "trace").read_text("ascii").splitlines()

    def start(self, **settings: str) -> Running:
        """An application that has loaded the shim; settings are PKCS11_SHIM_ variables in small letters."""
        running = self.launch(**settings)
        assert running("load") == "CKR_OK"
        return running

    def launch(self, **settings: str) -> Running:
        """An application that has loaded nothing yet."""
        command = [sys.executable, "-I", str(Path(__file__).with_name("application.py")), str(self.module)]
        pipe, environment = subprocess.PIPE, self.variables(**settings)
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, text=True)
        self.running.append(Running(process))
        return self.running[-1]

    def variables(self, **settings: str) -> dict[str, str]:
        return {
            **os.environ,
            **self.environment,
            "PKCS11_SHIM_MODULE": self.environment["KEYSVC_TEST_PKCS11_MODULE"],
            "PKCS11_SHIM_SCRIPT": str(self.script),
            "PKCS11_SHIM_TRACE": str(self.folder / "trace"),
            **{f"PKCS11_SHIM_{name.upper()}": value for name, value in settings.items()},
        }
