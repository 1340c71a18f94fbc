"""Backups: write and prove one, rehearse it against today's rows, restore it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import abc
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from keysvc.crypto import backup_file as age
from keysvc.crypto.age import WORK_FACTOR
from keysvc.errors import BackupDamaged, BackupError, NotConfigured, SealBroken
from keysvc.master.events import STORE_RIGHTS, EventKind, told
from keysvc.master.spot_check import check_sample
from keysvc.master.term import Term, hold
from keysvc.model import BackupRecord, MasterSecret, SecretText, utc_now
from keysvc.plugin.changes import Change, PutBackup
from keysvc.plugin.interfaces import KeyStore, MappingStore
from keysvc.plugin.safe_files import create_durably
from keysvc.text import read_bytes

REMINDER = "Keep it apart from the mapping store's backups. Rehearse it: keysvc secret rehearse FILE"
OTHER_SYSTEM = "give a backup of this system, or the mapping store of that one"
MAXIMUM_BYTES = 4 * 1024 * 1024


def write_and_prove(
    path: Path,
    secrets: abc.Sequence[MasterSecret],
    system_id: str,
    passphrase: SecretText,
    *,
    work_factor: int = WORK_FACTOR,
) -> BackupRecord:
    """Write a backup file (0600, durable), read it back and open it. Never overwrites. Raises BackupError.

    `work_factor` is lower only in tests.
    """
    require_free(path)
    record = BackupRecord(utc_now(), tuple(sorted(secret.version for secret in secrets)))
    content = age.write(secrets, system_id, record.created_at, REMINDER, passphrase, work_factor=work_factor)
    try:
        create_durably(path, content, anywhere=True)
        found = age.read(path.read_bytes(), passphrase)
    except FileExistsError:
        raise _taken(path) from None
    except OSError as error:
        raise BackupError(f"{path}: {error.strerror or type(error).__name__}") from None
    if sorted(found.secrets, key=lambda s: s.version) != sorted(secrets, key=lambda s: s.version):
        raise BackupError(f"{path} reads back as something else than was written", hint=SealBroken.NOT_KEPT)
    return record


def require_free(path: Path) -> None:
    """Raises BackupError unless a backup can be written to `path`."""
    if str(path) == "-":
        raise BackupError(
            "a backup is not written to standard output: it counts once it was read back from where it is",
            hint="give the name of a file; for one that is called -, write ./-",
        )
    if path.exists() or path.is_symlink():
        raise _taken(path)
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BackupError(f"{path.parent} is no directory that this account may write", hint="give another file name")


def _taken(path: Path) -> BackupError:
    return BackupError(f"{path} exists, and a backup never overwrites a file", hint="give another file name")


def record(term: Term, backup: BackupRecord, actor: str) -> None:
    """Make it known that a backup exists, so that keysvc stops asking for one."""
    versions = ",".join(map(str, backup.versions))
    term.commit(PutBackup(backup), *told(actor, EventKind.BACKUP_MADE, f"versions {versions}"))


def read_file(path: Path) -> bytes:
    """The content of a backup file. Raises BackupError, which names it."""
    try:
        with path.open("rb") as file:
            return read_bytes(file, MAXIMUM_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise BackupDamaged(f"{path} is too large to be a backup of keysvc") from None
        raise BackupError(f"{path}: {os.strerror(error.errno or 0)}") from None


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal proved: the backup holds `versions`; of today's credentials, `readable` of `rows` are under
    these, and `checked` of them were decrypted. `missing` are the versions in use that it lacks."""

    created_at: datetime
    versions: tuple[int, ...]
    missing: tuple[int, ...]
    rows: int
    readable: int
    checked: int


def rehearse(content: bytes, passphrase: SecretText, store: MappingStore) -> Rehearsal:
    """Open a backup and decrypt a sample of today's rows with it, changing nothing.

    Raises WrongPassphrase, BackupDamaged, CannotDecrypt.
    """
    backup = open_for(content, passphrase, store)
    versions = tuple(secret.version for secret in backup.secrets)
    rows = store.rows_by_version()
    checked = check_sample(store, backup.header.system_id, backup.secrets)
    return Rehearsal(
        backup.header.created_at,
        versions,
        tuple(sorted(store.versions().live.numbers.difference(versions))),
        sum(rows.values()),
        sum(count for version, count in rows.items() if version in versions),
        checked,
    )


def restore(
    content: bytes,
    passphrase: SecretText,
    store: MappingStore,
    key_store: KeyStore,
    also: abc.Callable[[], abc.Sequence[Change]] = tuple,
) -> tuple[int, ...]:
    """Seal into the key store every version of the backup that this system has not destroyed. Checks all before it
    writes any. Returns what was restored. `also` says under the lease what is committed with it.

    Raises LeaseHeld while a master secret server runs, WrongPassphrase, BackupDamaged, KeyStoreError."""
    backup = open_for(content, passphrase, store)
    with hold(store) as term:
        destroyed = store.versions().destroyed
        wanted = [secret for secret in backup.secrets if secret.version not in destroyed]
        held = set(key_store.versions())
        for secret in sorted(wanted, key=lambda each: each.version not in held):  # one that differs is found first
            term.require()
            key_store.seal(secret)
        versions = tuple(secret.version for secret in wanted)
        restored = told(STORE_RIGHTS, EventKind.SECRET_RESTORED, f"versions {','.join(map(str, versions))}")
        term.commit(*also(), *restored)
        return versions


def open_for(content: bytes, passphrase: SecretText, store: MappingStore) -> age.Backup:
    """Open a backup and check that it is of the system in `store`, version by version, before anything else."""
    header = age.read_header(content)
    system = None
    with contextlib.suppress(NotConfigured):  # it has no tables yet
        system = store.system()
    if system is None:
        raise NotConfigured(
            f"the mapping store {store.info().url} holds no system",
            hint=f"name the one in which system {header.system_id} is, or restore its database first",
        )
    if header.system_id != system.system_id:
        raise BackupDamaged(
            f"the backup is of system {header.system_id}, and this one is {system.system_id}", hint=OTHER_SYSTEM
        )
    backup = age.read(content, passphrase)
    versions = store.versions()
    for secret in backup.secrets:
        known = versions.find(secret.version)
        if known is not None and not known.describes(secret):
            raise BackupDamaged(
                f"version {secret.version} of the backup is another secret than this system's", hint=OTHER_SYSTEM
            )
    return backup
