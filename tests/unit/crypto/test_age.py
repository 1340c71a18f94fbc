"""Files of age: the vectors of its specification, another implementation both ways, and a cost that is stated."""

from __future__ import annotations

import base64
import hashlib
import inspect
import re
import time
import zlib
from typing import Any

import pyrage
import pytest

from keysvc.crypto import age, backup_file
from keysvc.errors import BackupError, InvalidInput, WrongPassphrase
from keysvc.master.backup import write_and_prove
from keysvc.model import SecretBytes, SecretText

PASSPHRASE = SecretText("correct horse ü battery")
LOW = 4
ANY_KEY = str(pyrage.x25519.Identity.generate())
TAMPERED = {"header failure", "HMAC failure", "payload failure", "armor failure"}


def read_vector(text: str) -> tuple[dict[str, str], bytes]:
    head, _, content = base64.b64decode(text).partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
    return fields, zlib.decompress(content) if "compressed" in fields else content


def outcome(fields: dict[str, str], content: bytes) -> str:
    try:
        if "passphrase" in fields:
            plain = age.decrypt(content, SecretText(fields["passphrase"]), "x")
        else:
            plain = age.decrypt_with_key(content, SecretBytes(fields.get("identity", ANY_KEY).encode()), "x")
    except WrongPassphrase:
        return "no match"
    except (InvalidInput, BackupError):
        return "refused"
    assert hashlib.sha256(plain).hexdigest() == fields["payload"]
    return "success"


def test_every_vector_of_the_specification_is_opened_or_refused_as_it_says(vectors: Any) -> None:
    cases = {name: read_vector(text) for name, text in vectors("age_c2sp.json").items()}
    assert len(cases) > 100
    assert sum("passphrase" in fields for fields, _ in cases.values()) > 20
    found = {name: outcome(fields, content) for name, (fields, content) in cases.items()}
    expected = {
        name: "refused" if fields["expect"] in TAMPERED else fields["expect"] for name, (fields, _) in cases.items()
    }
    assert {name: found[name] for name in found if found[name] != expected[name]} == {}


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072])
def test_another_implementation_opens_what_is_written_and_the_other_way_round(size: int) -> None:
    content = b"x" * size
    written = age.encrypt(content, PASSPHRASE, work_factor=LOW)
    assert pyrage.passphrase.decrypt(written, PASSPHRASE.reveal()) == content
    assert age.decrypt(written, PASSPHRASE, "x") == content
    key = pyrage.x25519.Identity.generate()
    theirs = pyrage.encrypt(content, [key.to_public()], armored=bool(size % 2))
    assert age.decrypt_with_key(theirs, SecretBytes(str(key).encode()), "x") == content


def test_the_work_factor_is_the_same_however_busy_the_machine_is() -> None:
    for function in (age.encrypt, backup_file.write, write_and_prove):
        assert inspect.signature(function).parameters["work_factor"].default == age.WORK_FACTOR == 18


def with_work_factor(factor: int) -> bytes:
    """As a file says it whose writer took that factor: the first thing that is read."""
    binary = age._without_armour(age.encrypt(b"", PASSPHRASE, work_factor=LOW))
    return re.sub(rb"(-> scrypt \S+) \d+", rb"\1 %d" % factor, binary, count=1)


@pytest.mark.parametrize("factor", [23, 30, 64, 10**18])
def test_a_factor_above_the_bound_is_named_at_once_and_is_not_called_damage(factor: int) -> None:
    began = time.monotonic()
    with pytest.raises(BackupError, match=rf"the work factor of file\.age is 2\^{factor}, .*at most 2\^22") as refused:
        age.decrypt(with_work_factor(factor), PASSPHRASE, "file.age")
    assert refused.type is BackupError
    with pytest.raises(BackupError, match=rf"2\^{factor}"):
        age.work_factor(with_work_factor(factor), "file.age")
    assert time.monotonic() - began < 1


def test_a_factor_within_the_bound_is_known_before_a_passphrase_is_tried() -> None:
    assert age.work_factor(with_work_factor(22), "x") == 22
    assert age.memory_mib(22) == 4096
    key = pyrage.x25519.Identity.generate()
    assert age.work_factor(pyrage.encrypt(b"", [key.to_public()]), "x") is None


def test_a_backup_says_its_factor_and_one_above_the_bound_is_no_damaged_backup(vectors: Any) -> None:
    content, passphrase = vectors("backup.json")["content"].encode(), SecretText(vectors("backup.json")["passphrase"])
    assert backup_file.work_factor(content) == 4
    head = content.partition(b"\n\n")[0] + b"\n\n"
    for call in (lambda c: backup_file.read(c, passphrase), backup_file.work_factor):
        with pytest.raises(BackupError, match=r"the work factor of the backup is 2\^40") as refused:
            call(head + with_work_factor(40))
        assert refused.type is BackupError


@pytest.mark.parametrize(
    "key", [b"no key", b"", b"\xff", b"AGE-SECRET-KEY-1QQQ", b"-----BEGIN OPENSSH PRIVATE KEY-----"]
)
def test_what_is_no_key_is_refused_whole(key: bytes) -> None:
    with pytest.raises(InvalidInput, match="the key for x is no age key") as refused:
        age.decrypt_with_key(age.encrypt(b"", PASSPHRASE, work_factor=LOW), SecretBytes(key), "x")
    assert refused.value.__cause__ is None


def test_a_file_for_a_passphrase_says_that_no_key_opens_it() -> None:
    key = SecretBytes(str(pyrage.x25519.Identity.generate()).encode())
    with pytest.raises(WrongPassphrase, match="the key does not open x"):
        age.decrypt_with_key(age.encrypt(b"", PASSPHRASE, work_factor=LOW), key, "x")
