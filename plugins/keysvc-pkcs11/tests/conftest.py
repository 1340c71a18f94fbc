"""A throw-away SoftHSM token for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PIN = "48151623"
SO_PIN = "4815162342"
SYSTEM_ID = "5" * 32
MODULES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)


@dataclass(frozen=True)
class SoftHSM:
    """One token directory, with a configuration of its own."""

    module: str
    directory: Path
    pin_file: Path
    label: str = "prod"

    @property
    def tokens(self) -> Path:
        return self.directory / "tokens"

    def add_token(self, label: str) -> None:
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
        subprocess.run(command, check=True, capture_output=True)

    def url(self, *, label: str | None = None, key: str = "keysvc", module: str | None = None, more: str = "") -> str:
        return (
            f"pkcs11:token={label or self.label};object={key}"
            f"?module-path={module or self.module}&pin-source=file:{self.pin_file}{more}"
        )


@pytest.fixture(scope="session")
def softhsm_module() -> str:
    for module in MODULES:
        if Path(module).exists() and shutil.which("softhsm2-util"):
            return module
    missing = "SoftHSM 2 is not installed: apt-get install softhsm2, dnf install softhsm, or brew install softhsm"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def made_token(softhsm_module: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, copied for each test: making one takes longer than the tests."""
    directory = tmp_path_factory.mktemp("softhsm")
    with pytest.MonkeyPatch.context() as patch:
        token = _configured(softhsm_module, directory, patch)
        token.add_token(token.label)
    return directory


@pytest.fixture
def softhsm(softhsm_module: str, made_token: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHSM:
    directory = tmp_path / "softhsm"
    shutil.copytree(made_token, directory)
    return _configured(softhsm_module, directory, monkeypatch)


def _configured(module: str, directory: Path, patch: pytest.MonkeyPatch) -> SoftHSM:
    token = SoftHSM(module, directory, directory / "pin")
    token.tokens.mkdir(exist_ok=True)
    token.pin_file.touch(mode=0o600)
    token.pin_file.write_text(f"{PIN}\n")
    configuration = directory / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {token.tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    patch.setenv("SOFTHSM2_CONF", str(configuration))
    return token
