"""A key store from two smaller parts: a `Sealer`, which seals and unseals bytes, over a `Shelf`, which keeps them.

Most key store plugins write a sealer (two verbs) and use `Directory` as the shelf.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections import abc
from collections.abc import MutableMapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

from keysvc.errors import InvalidInput, KeyStoreUnavailable, SealBroken, VersionAlreadySealed, VersionNotFound
from keysvc.model import MasterSecret, SecretBytes, SecretText
from keysvc.plugin.interfaces import KeyStoreInfo
from keysvc.plugin.safe_files import create_directory, fsync_directory, write_durably

FORMAT = "keysvc-sealed-1"
_ENTRY = re.compile("version-([0-9]{10})")  # whatever else lies there is none
MINIMUM_PASSPHRASE = 12
"""Characters of a passphrase that is to seal something."""
Shelf = MutableMapping[str, bytes]
"""Durable: a write is whole, or not there; it is on the disk when the call returns."""


def check_new_passphrase(passphrase: SecretText, what: str) -> None:
    """Check a passphrase before it seals something. One that seals already is not checked: it must go on opening.

    Raises InvalidInput for fewer than 12 characters.
    """
    if len(passphrase) < MINIMUM_PASSPHRASE:
        raise InvalidInput(
            f"the {what} needs at least {MINIMUM_PASSPHRASE} characters", hint="take four or more random words"
        )


class Sealer(Protocol):
    """Seals bytes under a root key of its own. Any thread may call it."""

    def info(self) -> KeyStoreInfo:
        """Safe to show."""

    def seal(self, secret: SecretBytes, context: bytes) -> bytes:
        """`context` is authenticated, not hidden. Raises KeyStoreUnavailable."""

    def unseal(self, sealed: bytes, context: bytes) -> SecretBytes:
        """Raises SealBroken (changed, another context or another root key), KeyStoreUnavailable."""

    def random(self, count: int) -> bytes:
        """`count` bytes from its own generator, else `os.urandom`. Raises KeyStoreUnavailable."""

    def close(self) -> None:
        """Repeatable."""


class SealedKeyStore:
    """A `KeyStore` made of a sealer and a shelf.

    An entry is one line of canonical JSON (the header: format, system, version, created_at, check_value), a line feed,
    and what the sealer made with the header as its context: a header or a sealed part from elsewhere does not open.
    """

    def __init__(self, sealer: Sealer, shelf: Shelf, system_id: str) -> None:
        self._sealer = sealer
        self._shelf = shelf
        self._system_id = system_id
        self._lock = threading.RLock()

    def info(self) -> KeyStoreInfo:
        """What seals here."""
        return self._sealer.info()

    def versions(self) -> abc.Sequence[int]:
        """Ascending."""
        with self._lock:
            return sorted(int(found[1]) for found in map(_ENTRY.fullmatch, self._shelf) if found)

    def seal(self, secret: MasterSecret) -> None:
        """Durable on return, and read back."""
        with self._lock:
            name = entry_name(secret.version)
            if name in self._shelf:
                if self.unseal(secret.version) != secret:
                    raise VersionAlreadySealed(f"{self._where(name)} already holds another secret")
                return
            header = self._header(secret)
            self._shelf[name] = header + b"\n" + self._sealer.seal(secret.material, header)
            if self.unseal(secret.version) != secret:
                raise SealBroken(
                    f"{self._where(name)} reads back as something else than was written", hint=SealBroken.NOT_KEPT
                )

    def unseal(self, version: int) -> MasterSecret:
        """The version itself, after every check."""
        with self._lock:
            name = entry_name(version)
            try:
                entry = self._shelf[name]
            except KeyError:
                raise VersionNotFound(f"version {version} is not in the key store {self.info().url}") from None
            header, separator, sealed = entry.partition(b"\n")
            created_at = self._check_header(name, header, version) if separator else None
            if created_at is None:
                raise SealBroken(f"{self._where(name)} is torn: it ends before its header does")
            try:
                material = self._sealer.unseal(sealed, header)
            except SealBroken as error:
                raise SealBroken(f"{self._where(name)}: {error}", hint=error.hint) from None
            secret = MasterSecret(version, created_at, material)
            if self._header(secret) != header:
                raise SealBroken(f"{self._where(name)} opens to a secret that is not the one in its header")
            return secret

    def random(self, count: int) -> bytes:
        """The sealer's."""
        return self._sealer.random(count)

    def destroy(self, version: int) -> None:
        """Repeatable."""
        with self._lock:
            self._shelf.pop(entry_name(version), None)

    def close(self) -> None:
        """Repeatable."""
        self._sealer.close()

    def _header(self, secret: MasterSecret) -> bytes:
        return json.dumps(
            {
                "format": FORMAT,
                "system": self._system_id,
                "version": secret.version,
                "created_at": secret.created_at.isoformat(),
                "check_value": secret.check_value,
            },
            separators=(",", ":"),
        ).encode("ascii")

    def _check_header(self, name: str, header: bytes, version: int) -> datetime:
        try:
            fields = json.loads(header)
            created_at = datetime.fromisoformat(fields["created_at"])
            expected = (FORMAT, self._system_id, version)
            found = (fields["format"], fields["system"], fields["version"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SealBroken(f"{self._where(name)} is damaged: its header cannot be read") from None
        if found != expected:
            raise SealBroken(f"{self._where(name)} is of another system, version or format")
        return created_at

    def _where(self, name: str) -> str:
        directory = getattr(self._shelf, "path", None)
        return str(directory / name) if directory else f"{name} in {self.info().url}"


def entry_name(version: int) -> str:
    """What a version is called on the shelf."""
    return f"version-{version:010d}"


class Directory(Shelf):
    """A shelf of files in one directory: mode 0600 in a directory of 0700, written to a temporary file, fsynced and
    renamed, and the directory fsynced. Raises KeyStoreUnavailable, which names the file, when it cannot be done."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, name: str) -> bytes:
        with _refusals(self.path / name):
            try:
                return (self.path / name).read_bytes()
            except FileNotFoundError:
                raise KeyError(name) from None

    def __setitem__(self, name: str, content: bytes) -> None:
        with _refusals(self.path / name):
            create_directory(self.path)
            write_durably(self.path / name, content)

    def __delitem__(self, name: str) -> None:
        with _refusals(self.path / name):
            try:
                (self.path / name).unlink()
            except FileNotFoundError:
                raise KeyError(name) from None
            fsync_directory(self.path)

    def __iter__(self) -> abc.Iterator[str]:
        with _refusals(self.path):
            names = sorted(entry.name for entry in self.path.iterdir()) if self.path.exists() else []
        return iter([name for name in names if not name.startswith(".")])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        with _refusals(self.path):
            return isinstance(name, str) and (self.path / name).exists()


@contextlib.contextmanager
def _refusals(path: Path) -> abc.Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KeyStoreUnavailable(f"{path}: {error.strerror or type(error).__name__}") from None
