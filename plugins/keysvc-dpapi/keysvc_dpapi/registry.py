"""A shelf in the Windows registry. Windows only."""

from __future__ import annotations

import contextlib
import hashlib
import winreg
from collections import abc
from collections.abc import MutableMapping
from dataclasses import dataclass

from keysvc.plugin import ConfigurationError, InvalidInput, KeyStoreUnavailable, SealBroken
from keysvc_dpapi import access, win32

HIVES = {"HKLM": winreg.HKEY_LOCAL_MACHINE, "HKCU": winreg.HKEY_CURRENT_USER}
CHECKSUM_BYTES = hashlib.sha256().digest_size
MAXIMUM_BYTES = 64 * 1024
DRAFT = "draft-"


@dataclass(frozen=True, slots=True)
class RegistryKey:
    r"""`HKLM\SOFTWARE\keysvc`, in the 64-bit view, and the account that is let in beside SYSTEM and Administrators."""

    hive: str
    path: str
    account: str | None = None

    def __str__(self) -> str:
        return f"{self.hive}\\{self.path}"

    def access_list(self) -> access.AccessList:
        """Raises ConfigurationError when there is no such account."""
        if self.hive == "HKCU":  # a user's own hive: who has it need not be an administrator
            own = access.sid_of_this_process()
            return access.AccessList([own, *([access.sid_of(self.account)] if self.account else [])], owner=own)
        accounts = [access.sid_of(self.account)] if self.account else []
        return access.AccessList(accounts, owner=access.ADMINISTRATORS)


class RegistryShelf(MutableMapping[str, bytes]):
    """A shelf of REG_BINARY values: SHA-256 ‖ content.

    A value is written twice, each time flushed to the disk and read back: first as a draft, then under its name. After
    a crash a draft that is whole counts as the value, and one that is torn does not count: the old or the new, never
    half. A key that lets in more accounts than it should is not used.
    """

    def __init__(self, key: RegistryKey) -> None:
        self.key = key

    def __getitem__(self, name: str) -> bytes:
        with self._opened(winreg.KEY_READ) as key:
            if key is None:
                raise KeyError(name)
            self._refuse_strangers(key)
            draft = _content(_value(key, DRAFT + name))
            if draft is not None:
                return draft
            value = _value(key, name)
            if value is None:
                raise KeyError(name)
            content = _content(value)
            if content is None:
                raise SealBroken(f"{self.key}\\{name} is torn, was changed, or is no REG_BINARY")
            return content

    def __setitem__(self, name: str, content: bytes) -> None:
        if len(content) > MAXIMUM_BYTES:
            raise InvalidInput(f"{len(content)} bytes are more than a registry value should have ({MAXIMUM_BYTES})")
        packed = hashlib.sha256(content).digest() + content
        with _refusals(self.key):
            self.key.access_list().create(HIVES[self.key.hive], self.key.path)
        with self._opened(winreg.KEY_READ | winreg.KEY_WRITE) as key:
            if key is None:
                raise KeyStoreUnavailable(f"{self.key} was deleted while it was written to")
            self._refuse_strangers(key)
            self._write(key, DRAFT + name, packed)
            self._write(key, name, packed)
            _delete(key, DRAFT + name)

    def __delitem__(self, name: str) -> None:
        with self._opened(winreg.KEY_READ | winreg.KEY_WRITE) as key:
            if key is None or (_value(key, name) is None and _content(_value(key, DRAFT + name)) is None):
                raise KeyError(name)
            _delete(key, name)
            _delete(key, DRAFT + name)

    def __iter__(self) -> abc.Iterator[str]:
        with self._opened(winreg.KEY_READ) as key:
            if key is None:
                return iter(())
            drafts = {name for name in _names(key) if name.startswith(DRAFT)}
            whole = {name.removeprefix(DRAFT) for name in drafts if _content(_value(key, name)) is not None}
            return iter(sorted(whole.union(_names(key)) - drafts))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def strangers(self) -> list[str]:
        """Who may open the key and should not. Raises KeyStoreUnavailable."""
        with self._opened(winreg.KEY_READ) as key:
            return self.key.access_list().strangers(key) if key is not None else []

    def protect(self) -> None:
        """Set the access list anew. Raises ConfigurationError for a key that holds anything but a key store."""
        with self._opened(winreg.KEY_READ | win32.WRITE_DAC | win32.WRITE_OWNER) as key:
            if key is None:
                return
            foreign = [name for name in _names(key) if not name.removeprefix(DRAFT).startswith("version-")]
            if winreg.QueryInfoKey(key)[0] or foreign:
                raise ConfigurationError(f"{self.key} holds more than a key store", hint="give it a key of its own")
            self.key.access_list().apply(key)
            winreg.FlushKey(key)

    @contextlib.contextmanager
    def _opened(self, wanted: int) -> abc.Iterator[int | None]:
        """The key, or None where it does not exist. Opened for each use, so that a key made anew is found."""
        hive = HIVES[self.key.hive]
        with _refusals(self.key):
            key = None
            with contextlib.suppress(FileNotFoundError):
                key = winreg.OpenKey(hive, self.key.path, 0, wanted | winreg.KEY_WOW64_64KEY)
            with key or contextlib.nullcontext():
                yield key.handle if key else None

    def _refuse_strangers(self, key: int) -> None:
        strangers = self.key.access_list().strangers(key)
        if strangers:
            raise KeyStoreUnavailable(
                f"{self.key} can be opened by {', '.join(strangers)}",
                hint="find out who changed that, then: keysvc registry protect, with the URL of the key store",
            )

    def _write(self, key: int, name: str, packed: bytes) -> None:
        winreg.SetValueEx(key, name, 0, winreg.REG_BINARY, packed)
        winreg.FlushKey(key)
        if _value(key, name) != (packed, winreg.REG_BINARY):
            raise KeyStoreUnavailable(f"{self.key}\\{name} does not read back as it was written")


def _value(key: int, name: str) -> tuple[object, int] | None:
    try:
        return winreg.QueryValueEx(key, name)
    except FileNotFoundError:
        return None


def _content(value: tuple[object, int] | None) -> bytes | None:
    """None unless it is whole."""
    packed, kind = value or (None, winreg.REG_NONE)
    if kind != winreg.REG_BINARY or not isinstance(packed, bytes):
        return None
    content = packed[CHECKSUM_BYTES:]
    return content if hashlib.sha256(content).digest() == packed[:CHECKSUM_BYTES] else None


def _delete(key: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        winreg.DeleteValue(key, name)
        winreg.FlushKey(key)


def _names(key: int) -> abc.Iterator[str]:
    for index in range(winreg.QueryInfoKey(key)[1]):
        yield winreg.EnumValue(key, index)[0]


@contextlib.contextmanager
def _refusals(key: RegistryKey) -> abc.Iterator[None]:
    try:
        yield
    except PermissionError:
        raise KeyStoreUnavailable(
            f"access to {key} is denied", hint="run it as SYSTEM, as an administrator, or as the service account"
        ) from None
    except OSError as error:
        raise KeyStoreUnavailable(f"{key}: {error.strerror or type(error).__name__}") from None
