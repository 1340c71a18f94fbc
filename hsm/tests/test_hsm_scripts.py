"""The scripts that make throw-away tokens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .bench import PATIENCE, SHIM
from .conftest import environment_of, need

HSM = SHIM.parent
SOFTHSM = HSM / "softhsm/up.sh"
SCRIPTS = sorted(HSM.glob("**/*.sh"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    need("softhsm2-util", "softhsm2 (Debian), softhsm (Fedora, Homebrew)")
    return tmp_path / "it's a folder"


def test_what_is_printed_can_be_read_back_by_a_shell_whatever_the_folder_is_called(folder: Path) -> None:
    printed = environment_of(SOFTHSM, folder)
    assert printed["KEYSVC_TEST_PKCS11_PIN_FILE"] == str(folder / "pin")
    assert printed["SOFTHSM2_CONF"] == str(folder / "softhsm2.conf")
    assert Path(printed["KEYSVC_TEST_PKCS11_MODULE"]).exists()
    assert set(printed) == {
        *(f"KEYSVC_TEST_PKCS11_{name}" for name in ("MODULE", "TOKEN", "PIN_FILE")),
        "SOFTHSM2_CONF",
    }


def test_a_second_run_prints_the_same_and_keeps_the_token(folder: Path) -> None:
    first = environment_of(SOFTHSM, folder)
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert environment_of(SOFTHSM, folder) == first
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == kept


def test_the_pin_is_for_its_owner_only_and_on_no_stream(folder: Path) -> None:
    done = subprocess.run([SOFTHSM, folder], check=True, capture_output=True, text=True, timeout=PATIENCE)
    pin = (folder / "pin").read_text("ascii").strip()
    assert (folder / "pin").stat().st_mode & 0o777 == 0o600
    assert len(pin) == 8
    assert pin not in done.stdout + done.stderr


def test_without_a_folder_it_says_how_it_is_used() -> None:
    done = subprocess.run([SOFTHSM], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: usage: {SOFTHSM} FOLDER\n"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(HSM)))
def test_shellcheck_finds_nothing(script: Path) -> None:
    need("shellcheck", "shellcheck")
    done = subprocess.run(["shellcheck", "-x", script], check=False, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout == ""
