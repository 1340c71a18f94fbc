"""`keysvc init --backup` creates nothing before it knows that the backup can be written; slow files say so first."""

from __future__ import annotations

from pathlib import Path

import pytest
from systems import Keysvc

from keysvc.crypto import age
from keysvc.model import SecretText


@pytest.mark.parametrize(
    ("name", "passphrase", "message"),
    [
        ("there", "correct horse battery", "there exists, and a backup never overwrites a file"),
        ("nowhere/backup", "correct horse battery", "nowhere is no directory that this account may write"),
        ("backup", "x", "the passphrase of the backup needs at least 12 characters"),
        ("backup", "", "the passphrase of the backup is empty"),
    ],
)
def test_init_with_an_impossible_backup_creates_nothing(
    tmp_path: Path, keysvc: Keysvc, name: str, passphrase: str, message: str
) -> None:
    (tmp_path / "there").write_text("something else")
    (tmp_path / "passphrase").write_text(passphrase)
    where = ("--dir", tmp_path / "made", "--backup", tmp_path / name)
    refused = keysvc("init", *where, "--passphrase-file", tmp_path / "passphrase")
    assert refused.status == 1
    assert message in refused.err
    assert not (tmp_path / "made").exists()
    assert (tmp_path / "there").read_text() == "something else"


def test_a_file_that_takes_long_says_so_before_the_passphrase_is_tried(tmp_path: Path, keysvc: Keysvc) -> None:
    slow = tmp_path / "slow.age"
    written = age._without_armour(age.encrypt(b"", SecretText("open sesame"), work_factor=1))
    slow.write_bytes(written.replace(b" 1\n", b" 19\n", 1))
    given = {"KEYSVC_PASSPHRASE": "open sesame"}
    said = keysvc("credential", "import", slow, env=given)
    assert f"warning: opening {slow} takes 2 times as long as usual, and 512 MiB: its work factor is 2^19" in said.err
    slow.write_bytes(written.replace(b" 1\n", b" 23\n", 1))
    assert f"error: backup: the work factor of {slow} is 2^23" in keysvc("credential", "import", slow, env=given).err
