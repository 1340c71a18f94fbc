"""A backup opens with its passphrase, with or without keysvc, and says what is wrong when it does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import traceback
from datetime import UTC, datetime

import pyrage
import pytest

from keysvc.crypto import backup_file
from keysvc.errors import BackupDamaged, InvalidInput, WrongPassphrase
from keysvc.model import MasterSecret, SecretBytes, SecretText

SYSTEM = "5ca1ab1e0000000000000000c0ffee00"
AT = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)
PASSPHRASE = SecretText("correct horse ü battery")
SECRETS = tuple(MasterSecret(version, AT, SecretBytes(bytes([version]) * 32)) for version in (3, 4))


@pytest.fixture(scope="module")
def written():
    return backup_file.write(SECRETS[::-1], SYSTEM, AT, "in the safe ☂", PASSPHRASE, work_factor=4)


@pytest.fixture
def quick(vectors):
    """A backup that costs next to nothing to open, and its passphrase."""
    case = vectors("backup.json")
    return case["content"].encode(), SecretText(case["passphrase"])


@pytest.fixture
def with_inside(vectors, age_file):
    """The backup of the vectors with what is inside changed."""
    case = vectors("backup.json")
    header = case["content"].partition("\n\n")[0].encode()

    def make(change):
        inside = json.loads(case["inside"])
        change(inside)
        return header + b"\n\n" + age_file(json.dumps(inside).encode(), case["passphrase"])

    return make


def test_what_was_written_is_read(written):
    found = backup_file.read(written, PASSPHRASE)
    assert found.secrets == SECRETS
    assert (
        found.header
        == backup_file.BackupHeader(SYSTEM, AT, (3, 4), "in the safe ☂")
        == backup_file.read_header(written)
    )


@pytest.mark.skipif(shutil.which("sed") is None, reason="install sed")
def test_it_opens_without_keysvc(written, tmp_path):
    (tmp_path / "backup").write_bytes(written)
    age = subprocess.run(["sed", "1,/^$/d", "backup"], cwd=tmp_path, capture_output=True, check=True).stdout
    assert age.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")
    inside = json.loads(pyrage.passphrase.decrypt(age, PASSPHRASE.reveal()))
    assert [entry["version"] for entry in inside["versions"]] == [3, 4]


@pytest.mark.parametrize("passphrase", ["another horse, battery", "", "\ud800"])
def test_a_wrong_passphrase_is_told_from_damage(quick, passphrase):
    with pytest.raises(WrongPassphrase):
        backup_file.read(quick[0], SecretText(passphrase))


def test_every_flipped_bit_in_the_payload_is_damage(quick):
    content, passphrase = quick
    start, end = len(content) - 500, content.index(b"\n-----END")
    for at in range(start, end, 3):
        changed = bytearray(content)
        changed[at] ^= 1
        with pytest.raises(BackupDamaged):
            backup_file.read(bytes(changed), passphrase)


def test_every_changed_byte_anywhere_is_refused(quick):
    content, passphrase = quick
    for at in range(len(content) - 1):  # the last is the line feed after the armor, which age lets go
        changed = bytearray(content)
        changed[at] ^= 2
        with pytest.raises((BackupDamaged, WrongPassphrase)):
            backup_file.read(bytes(changed), passphrase)


def test_every_tear_is_damage(quick):
    content, passphrase = quick
    for length in range(0, len(content) - 2, 7):
        with pytest.raises(BackupDamaged):
            backup_file.read(content[:length], passphrase)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"second shelf", b"third shelf"),
        (b"versions: 3,4", b"versions: 3"),
        (b"versions: 3,4", b"versions: 03,4"),
        (b"c0ffee00", b"c0ffee01"),
        (b"04:05:06", b"04:05:07"),
        (b"+00:00", b""),
        (b"second", b"\x1b[2J"),
        (b"second", b"\xff"),
        (b"keysvc-backup: 1", b"keysvc-backup: 2"),
        (b"reminder: in", b"more: x\nreminder: in"),
    ],
)
def test_a_changed_header_is_refused(quick, old, new):
    content, passphrase = quick
    assert old in content
    with pytest.raises(BackupDamaged):
        backup_file.read(content.replace(old, new, 1), passphrase)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"keysvc-backup: 1\n\n", b"\xff\n\n", b"-----BEGIN AGE", b"a" * 999])
def test_what_is_no_backup_is_refused_before_a_passphrase_is_asked(content):
    with pytest.raises(BackupDamaged):
        backup_file.read_header(content)


INSIDE = {
    "other material": lambda inside: inside["versions"][0].update(material=inside["versions"][1]["material"]),
    "another check value": lambda inside: inside["versions"][0].update(check_value="0" * 16),
    "a short secret": lambda inside: inside["versions"][0].update(material="AAAA"),
    "material that is not base64": lambda inside: inside["versions"][0].update(material="!"),
    "a version missing": lambda inside: inside["versions"].pop(),
    "versions swapped": lambda inside: inside["versions"].reverse(),
    "a version below 1": lambda inside: inside["versions"][0].update(version=0),
    "another header": lambda inside: inside.update(header=inside["header"].replace("second", "third")),
    "no versions": lambda inside: inside.pop("versions"),
    "something unknown": lambda inside: inside.update(more=1),
}


@pytest.mark.parametrize("what", INSIDE)
def test_what_is_inside_is_checked_too(with_inside, vectors, what):
    passphrase = SecretText(vectors("backup.json")["passphrase"])
    assert backup_file.read(with_inside(lambda inside: None), passphrase).secrets
    with pytest.raises(BackupDamaged) as refused:
        backup_file.read(with_inside(INSIDE[what]), passphrase)
    assert "Hx4d" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"passphrase": SecretText("eleven char")}, "12 characters"),
        ({"passphrase": SecretText("not text at all \ud800")}, "Unicode"),
        ({"reminder": "x" * 201}, "reminder"),
        ({"reminder": "\x1b[2J"}, "reminder"),
        ({"secrets": ()}, "at least one version"),
        ({"secrets": (SECRETS[0], SECRETS[0])}, "each once"),
        ({"created_at": datetime(2026, 2, 3)}, "aware"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(change, message):
    wanted = {"secrets": SECRETS, "system_id": SYSTEM, "created_at": AT, "reminder": "", "passphrase": PASSPHRASE}
    with pytest.raises(InvalidInput, match=message) as refused:
        backup_file.write(**wanted | change)
    assert not isinstance(refused.value.__context__, UnicodeError)  # it would carry the passphrase
