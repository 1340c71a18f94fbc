from __future__ import annotations

import contextlib
import uuid
import winreg
from collections import abc

import pytest
from keysvc_dpapi.registry import RegistryKey

SYSTEM_ID = "5" * 32


class Values(abc.MutableMapping):
    """The values of a registry key as they are stored."""

    def __init__(self, path: str) -> None:
        self.path = path

    def opened(self, access: int = winreg.KEY_ALL_ACCESS) -> winreg.HKEYType:
        return winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, self.path, 0, access | winreg.KEY_WOW64_64KEY)

    def __getitem__(self, name: str) -> bytes:
        with self.opened() as key:
            return winreg.QueryValueEx(key, name)[0]

    def __setitem__(self, name: str, content: bytes) -> None:
        self.put(name, winreg.REG_BINARY, content)

    def put(self, name: str, kind: int, content: object) -> None:
        with self.opened() as key:
            winreg.SetValueEx(key, name, 0, kind, content)

    def __delitem__(self, name: str) -> None:
        with self.opened() as key:
            winreg.DeleteValue(key, name)

    def __iter__(self) -> abc.Iterator[str]:
        with self.opened() as key:
            return iter(sorted(winreg.EnumValue(key, i)[0] for i in range(winreg.QueryInfoKey(key)[1])))

    def __len__(self) -> int:
        return sum(1 for _ in self)


@pytest.fixture
def key() -> abc.Iterator[RegistryKey]:
    """A key of its own for each test, which does not exist yet."""
    path = f"SOFTWARE\\keysvc-test-{uuid.uuid4().hex}"
    yield RegistryKey("HKLM", path)
    with contextlib.suppress(FileNotFoundError):
        winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, path, winreg.KEY_WOW64_64KEY)


@pytest.fixture
def values(key: RegistryKey) -> Values:
    """What is stored in it."""
    return Values(key.path)
