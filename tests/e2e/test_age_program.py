"""The program `age`, as Debian has it, opens what keysvc writes, and keysvc opens what it writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import abc
from pathlib import Path

import pytest
from sites import Site
from systems import Keysvc
from terminals import on_a_terminal

from keysvc.crypto import age
from keysvc.errors import WrongPassphrase
from keysvc.model import SecretBytes, SecretText

PASSPHRASE = "correct horse ü battery"
CONTENT = b"content\n" * 20_000

pytestmark = pytest.mark.skipif(shutil.which("age") is None, reason="install age")


def typed_twice(_question: str) -> str:
    return PASSPHRASE


def ran(*command: str | Path) -> str:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout


def test_age_opens_a_backup_and_its_work_factor_is_the_default_of_age(tmp_path: Path, keysvc: Keysvc) -> None:
    site = Site(tmp_path, keysvc)
    (tmp_path / "passphrase").write_text(PASSPHRASE, "utf-8")
    site.init("--backup", tmp_path / "backup", "--passphrase-file", tmp_path / "passphrase")
    sealed = tmp_path / "sealed.age"
    sealed.write_bytes((tmp_path / "backup").read_bytes().partition(b"\n\n")[2])
    assert age.work_factor(sealed.read_bytes(), "x") == 18
    on_a_terminal(["age", "-d", "-o", str(tmp_path / "inside"), str(sealed)], {}, typed_twice)
    inside = json.loads((tmp_path / "inside").read_bytes())
    assert [version["version"] for version in inside["versions"]] == [1]


@pytest.mark.parametrize("armour", [[], ["-a"]])
def test_keysvc_opens_what_age_wrote_for_a_passphrase(tmp_path: Path, armour: abc.Sequence[str]) -> None:
    (tmp_path / "plain").write_bytes(CONTENT)
    written = tmp_path / "written.age"
    on_a_terminal(["age", "-p", *armour, "-o", str(written), str(tmp_path / "plain")], {}, typed_twice)
    assert age.work_factor(written.read_bytes(), "x") == 18
    assert age.decrypt(written.read_bytes(), SecretText(PASSPHRASE), "x") == CONTENT


@pytest.mark.parametrize("kind", ["x25519", "ed25519", "rsa", "rsa in PEM"])
def test_keysvc_opens_what_age_wrote_for_a_key(tmp_path: Path, kind: str) -> None:
    plain, key, other = (tmp_path / name for name in ("plain", "key", "other"))
    plain.write_bytes(CONTENT)
    for path in (key, other):
        if kind == "x25519":
            ran("age-keygen", "-o", path)
            path.with_suffix(".pub").write_text(ran("age-keygen", "-y", path))
        else:
            form = ["-m", "PEM"] if "PEM" in kind else []
            ran("ssh-keygen", "-q", "-t", kind.split(maxsplit=1)[0], "-N", "", *form, "-f", path)
    ran("age", "-R", key.with_suffix(".pub"), "-o", tmp_path / "sealed", plain)
    sealed = (tmp_path / "sealed").read_bytes()
    assert age.decrypt_with_key(sealed, SecretBytes(key.read_bytes()), "x") == CONTENT
    with pytest.raises(WrongPassphrase, match="the key does not open x"):
        age.decrypt_with_key(sealed, SecretBytes(other.read_bytes()), "x")
