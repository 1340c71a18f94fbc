"""A throw-away SoftHSM token for each test, and the shim that lets its calls fail on purpose."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections import abc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from keysvc.plugin import KeyStore, SecretText
from keysvc.plugin.loading import Plugins

PIN = "48151623"
SO_PIN = "4815162342"
SYSTEM_ID = "5" * 32
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
ROOT = Path(__file__).parents[3]
Ask = abc.Callable[[str], SecretText]


def nobody(what: str) -> NoReturn:
    raise AssertionError(f"nobody can be asked for the {what}")


@dataclass(frozen=True)
class SoftHSM:
    """One token directory, with a configuration of its own."""

    module: str
    directory: Path
    label: str = "prod"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens"

    @property
    def pin_file(self) -> Path:
        return self.directory / "pin"

    def add_token(self, label: str) -> None:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
        subprocess.run(command, check=True, capture_output=True)

    def url(self, *, path: str | None = None, more: str = "") -> str:
        where = path or f"token={self.label};object=keysvc"
        return f"pkcs11:{where}?module-path={self.module}&pin-source=file:{self.pin_file}{more}"

    def run(self, code: str) -> Any:
        """What `code` leaves in `answer`, run with python-pkcs11 alone, logged in, in a process of its own."""
        program = (
            "import json, pkcs11, sys\n"
            "from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, TokenFlag\n"
            f"library = pkcs11.lib({self.module!r})\n"
            f"token = library.get_token(token_label={self.label!r})\n"
            f"session = token.open(rw=True, user_pin={PIN!r})\n"
            f"{code}\n"
            "print(json.dumps(answer))"
        )
        done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Shim:
    """Lets calls to the library fail, as `hsm/shim/README.md` describes."""

    softhsm: SoftHSM
    script: Path
    trace: Path

    def fail(self, *lines: str) -> None:
        """From the next call on."""
        draft = self.script.with_suffix(".new")
        draft.write_text("".join(f"{line}\n" for line in lines))
        draft.rename(self.script)

    def heal(self) -> None:
        self.fail()

    def calls(self) -> list[str]:
        """Names of the functions called, in order, since the last time."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        self.trace.write_text("")
        return [line.split()[0] for line in lines]


@pytest.fixture(scope="session")
def softhsm_module() -> str:
    for module in MODULES:
        if Path(module).exists() and shutil.which("softhsm2-util"):
            return module
    return missing("SoftHSM 2 is not installed: apt-get install softhsm2, dnf install softhsm, or brew install softhsm")


@pytest.fixture(scope="session")
def made_token(softhsm_module: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, copied for each test: making one takes longer than most tests."""
    directory = tmp_path_factory.mktemp("softhsm")
    with pytest.MonkeyPatch.context() as patch:
        token = configured(softhsm_module, directory, patch)
        token.add_token(token.label)
    return directory


@pytest.fixture
def softhsm(softhsm_module: str, made_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHSM:
    directory = tmp_path / "softhsm"
    shutil.copytree(made_token, directory)
    return configured(softhsm_module, directory, monkeypatch)


@pytest.fixture(scope="session")
def shim_module(tmp_path_factory: pytest.TempPathFactory) -> str:
    source = ROOT / "hsm/shim"
    if not (source / "Makefile").exists() or not shutil.which("make") or not shutil.which("cc"):
        return missing("the fault-injecting shim needs hsm/shim and a C compiler: apt-get install gcc make libc6-dev")
    made = tmp_path_factory.mktemp("shim")
    subprocess.run(["make", "-s", "-C", source, f"OUT={made}"], check=True, capture_output=True)
    return str(made / "pkcs11-shim.so")


@pytest.fixture
def shim(softhsm: SoftHSM, shim_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shim:
    """Between keysvc and SoftHSM. Without a fault until `fail`."""
    made = Shim(replace(softhsm, module=shim_module), tmp_path / "faults", tmp_path / "trace")
    monkeypatch.setenv("PKCS11_SHIM_MODULE", softhsm.module)
    monkeypatch.setenv("PKCS11_SHIM_SCRIPT", str(made.script))
    monkeypatch.setenv("PKCS11_SHIM_TRACE", str(made.trace))
    return made


@pytest.fixture
def opened() -> abc.Iterator[abc.Callable[..., KeyStore]]:
    """Opens key stores by URL, and closes them when the test ends."""
    stores: list[KeyStore] = []
    plugins = Plugins(only=["keysvc-pkcs11"])

    def open_store(url: str, ask: Ask = nobody) -> KeyStore:
        stores.append(plugins.key_stores.open(url, ask, SYSTEM_ID))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


class Warnings(logging.Handler):
    """What the plugin told the log; `on_first` runs before the plugin goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.on_first: abc.Callable[[], object] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if self.on_first is not None:
            self.on_first()
            self.on_first = None


@pytest.fixture
def told() -> abc.Iterator[Warnings]:
    handler = Warnings()
    logger = logging.getLogger("keysvc.pkcs11")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def configured(module: str, directory: Path, patch: pytest.MonkeyPatch) -> SoftHSM:
    token = SoftHSM(module, directory)
    token.tokens.mkdir(exist_ok=True)
    token.pin_file.touch(mode=0o600)
    token.pin_file.write_text(f"{PIN}\n")
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {token.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    return token
