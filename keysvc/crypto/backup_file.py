"""A backup: a plain header, an empty line, and an age file under a passphrase, which opens without keysvc:
`sed '1,/^$/d' FILE | age -d`. docs/formats.md specifies it."""

from __future__ import annotations

import base64
from collections import abc
from dataclasses import dataclass
from datetime import datetime

import msgspec

from keysvc.crypto import age
from keysvc.crypto.unreadable import UNREADABLE
from keysvc.errors import BackupDamaged, InvalidInput
from keysvc.model import MasterSecret, SecretBytes, SecretText
from keysvc.plugin.sealed import check_new_passphrase

MAXIMUM_REMINDER = 200
_CHANGED = "the backup is torn or was changed"


@dataclass(frozen=True, slots=True)
class BackupHeader:
    """What anyone may read. It is repeated inside, and both must agree."""

    system_id: str
    created_at: datetime
    versions: tuple[int, ...]
    reminder: str


@dataclass(frozen=True, slots=True)
class Backup:
    """An opened backup."""

    header: BackupHeader
    secrets: tuple[MasterSecret, ...]


class _Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    created_at: datetime
    material: str
    check_value: str

    def __repr__(self) -> str:
        return f"_Version({self.version})"


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    header: str
    versions: tuple[_Version, ...]


_CONTENT = msgspec.json.Decoder(_Content)


def write(
    secrets: abc.Sequence[MasterSecret],
    system_id: str,
    created_at: datetime,
    reminder: str,
    passphrase: SecretText,
    *,
    work_factor: int = age.WORK_FACTOR,
) -> bytes:
    """A backup of `secrets`. Takes a second or more, on purpose: so does each guess at the passphrase. `work_factor`
    is lower only in tests.

    Raises InvalidInput for a passphrase under 12 characters, a reminder that is not one printable line of at most 200,
    or a header that would not read back.
    """
    check_new_passphrase(passphrase, "passphrase of the backup")
    ordered = sorted(secrets, key=lambda secret: secret.version)
    header = _header_text(BackupHeader(system_id, created_at, tuple(s.version for s in ordered), reminder))
    _check_header(header)
    versions = tuple(
        _Version(s.version, s.created_at, base64.b64encode(s.material.reveal()).decode(), s.check_value)
        for s in ordered
    )
    plain = msgspec.json.encode(_Content(header, versions))
    return header.encode() + b"\n" + age.encrypt(plain, passphrase, work_factor=work_factor)


def read_header(content: bytes) -> BackupHeader:
    """The plain header. Raises BackupDamaged."""
    return _parse_header(_split(content)[0])


def _parse_header(text: str) -> BackupHeader:
    try:
        lines = dict(line.split(": ", 1) for line in text.splitlines())
        header = BackupHeader(
            lines["system"],
            datetime.fromisoformat(lines["created"]),
            tuple(int(version) for version in lines["versions"].split(",")),
            lines["reminder"],
        )
    except (KeyError, ValueError):
        raise BackupDamaged("the header of the backup cannot be read") from None
    well_made = header.created_at.tzinfo is not None and header.reminder.isprintable()
    if _header_text(header) != text or not well_made:
        raise BackupDamaged("the header of the backup was changed")
    return header


def work_factor(content: bytes) -> int | None:
    """log2 of scrypt's N, which says how long opening takes. Raises BackupDamaged; BackupError when it is too high."""
    try:
        return age.work_factor(_split(content)[1], "the backup")
    except InvalidInput:
        raise BackupDamaged(_CHANGED) from None


def read(content: bytes, passphrase: SecretText) -> Backup:
    """Open it. Raises WrongPassphrase, BackupDamaged; BackupError as of `work_factor`."""
    text, sealed = _split(content)
    header = _parse_header(text)
    plain = _decrypt(sealed, passphrase)
    try:
        inside = _CONTENT.decode(plain)
        secrets = tuple(_secret(version) for version in inside.versions)
    except (*UNREADABLE, ValueError, InvalidInput):
        raise BackupDamaged("the backup opens, and what is inside cannot be read") from None
    if inside.header != text or tuple(s.version for s in secrets) != header.versions:
        raise BackupDamaged("the header of the backup is not the one that was written with it")
    return Backup(header, secrets)


def _check_header(text: str) -> None:
    try:
        header = _parse_header(text)
    except BackupDamaged:
        header = None
    if header is None or len(header.reminder) > MAXIMUM_REMINDER or len(set(header.versions)) != len(header.versions):
        raise InvalidInput(
            f"a backup has a reminder of one printable line of at most {MAXIMUM_REMINDER} characters, an aware time, "
            "and at least one version, each once"
        )


def _decrypt(sealed: bytes, passphrase: SecretText) -> bytes:
    try:
        return age.decrypt(sealed, passphrase, "the backup")
    except InvalidInput:
        raise BackupDamaged(_CHANGED) from None


def _secret(entry: _Version) -> MasterSecret:
    secret = MasterSecret(entry.version, entry.created_at, SecretBytes(base64.b64decode(entry.material, validate=True)))
    if secret.check_value != entry.check_value:
        raise BackupDamaged(f"version {entry.version} of the backup is not what was written")
    return secret


def _split(content: bytes) -> tuple[str, bytes]:
    head, separator, sealed = content.partition(b"\n\n")
    if not separator or not head.startswith(b"keysvc-backup: 1\n"):
        raise BackupDamaged("this is not a backup of keysvc, or it is torn")
    try:
        return head.decode("utf-8") + "\n", sealed
    except UnicodeDecodeError:
        raise BackupDamaged("the header of the backup cannot be read") from None


def _header_text(header: BackupHeader) -> str:
    versions = ",".join(map(str, header.versions))
    return (
        f"keysvc-backup: 1\nsystem: {header.system_id}\ncreated: {header.created_at.isoformat()}\n"
        f"versions: {versions}\nreminder: {' '.join(header.reminder.split())}\n"
    )
