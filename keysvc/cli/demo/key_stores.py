"""Where the demo keeps the master secret, and how it loses it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
from collections import abc
from pathlib import Path
from typing import Protocol

from keysvc.cli.demo.processes import DemoFailed
from keysvc.installation import config
from keysvc.installation.assembly import allowed_plugins, no_prompt

MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
LABEL = "demo"


class KeyStoreOfTheDemo(Protocol):
    """What the story needs of a key store: `options` of `keysvc init`, the `environment` of the master, and `lose`."""

    options: tuple[str, ...]
    environment: abc.Mapping[str, str]

    def lose(self) -> None:
        """Every version, and where it can, the root that sealed them."""


class Files:
    """The default of `keysvc init`."""

    options: tuple[str, ...] = ()
    environment: abc.Mapping[str, str] = {}

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def lose(self) -> None:
        """The directory and the key file."""
        shutil.rmtree(self._directory / "secret")
        (self._directory / "secret.key").unlink()


class SoftHSM:
    """A throw-away token of SoftHSM 2 in `folder`. Raises DemoFailed where that is not installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "softhsm"
        self._module = next((module for module in MODULES if Path(module).exists()), None)
        self._program = shutil.which("softhsm2-util")
        if self._module is None or self._program is None:
            raise DemoFailed("SoftHSM is not installed", hint="apt-get install softhsm2; pip install keysvc-pkcs11")
        configuration, pin = self._folder / "softhsm2.conf", self._folder / "pin"
        self._pin = secrets.token_hex(6)
        self._folder.mkdir(mode=0o700)
        pin.touch(mode=0o600)
        pin.write_text(self._pin, "utf-8")
        configuration.write_text(f"directories.tokendir = {self._folder}/tokens\nlog.level = ERROR\n", "utf-8")
        self.environment: abc.Mapping[str, str] = {"SOFTHSM2_CONF": str(configuration)}
        self.options: tuple[str, ...] = (
            "--key-store",
            f"pkcs11:token={LABEL};object=keysvc?module-path={self._module}&pin-source=file:{pin}",
        )
        self._make_token()

    def lose(self) -> None:
        """The token is deleted; a new, empty one takes its place."""
        shutil.rmtree(self._folder / "tokens")
        self._make_token()

    def _make_token(self) -> None:
        (self._folder / "tokens").mkdir(mode=0o700)
        # this program takes PINs as arguments only; they protect a token that lives for a minute
        pins = ("--so-pin", secrets.token_hex(6), "--pin", self._pin)
        made = subprocess.run(
            [str(self._program), "--init-token", "--free", "--label", LABEL, *pins],
            env={**os.environ, **self.environment},
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise DemoFailed(f"softhsm2-util made no token: {made.stderr.decode().strip()}")


class AtURL:
    """Any key store, empty before and after. Raises ConfigurationError, DemoFailed and what it raises itself."""

    environment: abc.Mapping[str, str] = {}

    def __init__(self, url: str, configuration: Path) -> None:
        self.options: tuple[str, ...] = ("--key-store", url)
        self._url = url
        self._configuration = configuration
        with contextlib.closing(allowed_plugins().key_stores.open(url, no_prompt, "0" * 32)) as store:
            if store.versions():
                raise DemoFailed("the key store is not empty", hint="give one that is: the demo loses all it holds")

    def lose(self) -> None:
        """Every version; the root is its own affair."""
        system_id = config.load(self._configuration).system_id
        with contextlib.closing(allowed_plugins().key_stores.open(self._url, no_prompt, system_id)) as store:
            for version in store.versions():
                store.destroy(version)


def chosen(what: str, folder: Path) -> KeyStoreOfTheDemo:
    """`file`, `softhsm`, or the URL of an empty one."""
    if what == "softhsm":
        return SoftHSM(folder)
    directory = folder / "master"
    return Files(directory) if what == "file" else AtURL(what, directory / config.FILE_NAME)
