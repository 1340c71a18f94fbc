"""Who may open the registry key: SYSTEM, Administrators and the service account, nobody else. Windows only."""

from __future__ import annotations

import contextlib
import ctypes
import re
import winreg
from collections import abc
from ctypes import byref, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LPWSTR

from keysvc.plugin import ConfigurationError
from keysvc_dpapi import win32

SYSTEM = "S-1-5-18"
ADMINISTRATORS = "S-1-5-32-544"
_SHOWN = win32.OWNER_SECURITY_INFORMATION | win32.DACL_SECURITY_INFORMATION
_ENTRY = re.compile(r"\((X?A|OA|ZA);[^;]*;[^;]*;[^;]*;[^;]*;([^;)]*)")  # SDDL, [MS-DTYP] 2.5.1: what allows, and whom


class AccessList:
    """Full control for SYSTEM, Administrators and `accounts` (SIDs); nothing is inherited. `owner` is one of them."""

    def __init__(self, accounts: abc.Iterable[str], owner: str) -> None:
        allowed = dict.fromkeys((SYSTEM, ADMINISTRATORS, *accounts))
        self.descriptor = f"O:{owner}D:P" + "".join(f"(A;;KA;;;{sid})" for sid in allowed)

    def strangers(self, key: int) -> list[str]:
        """Who else may open `key`, or let others in. Raises OSError."""
        found = _descriptor_of(key)
        with _binary(self.descriptor) as wanted:
            own = _trustees(_text(wanted))
        names = sorted(_name_of(sid) for sid in _trustees(found) - own)
        if not _ENTRY.search(found):  # an empty list lets in nobody, not even us: this key has none
            names.append("everyone, as it has no access list")
        return names

    def create(self, hive: int, path: str) -> None:
        """Create the key with this access list, or leave it as it is where it exists. Raises OSError."""
        key, created = c_void_p(), DWORD()
        access = winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY
        with _binary(self.descriptor) as descriptor:
            security = win32.SECURITY_ATTRIBUTES(ctypes.sizeof(win32.SECURITY_ATTRIBUTES), descriptor, False)
            win32.check_status(
                win32.RegCreateKeyEx(hive, path, 0, None, 0, access, byref(security), byref(key), byref(created))
            )
        try:
            # Wine 8 drops the descriptor in silence; what is not read back is not known.
            if created.value == win32.REG_CREATED_NEW_KEY and self.strangers(key.value or 0):
                self.apply(key.value or 0)
        finally:
            winreg.CloseKey(key.value or 0)

    def apply(self, key: int) -> None:
        """Replace the access list and the owner of a key that was opened with WRITE_DAC and WRITE_OWNER."""
        what = _SHOWN | win32.PROTECTED_DACL_SECURITY_INFORMATION
        owner, entries, flag = c_void_p(), c_void_p(), BOOL()
        with _binary(self.descriptor) as descriptor:
            win32.check(win32.GetSecurityDescriptorOwner(descriptor, byref(owner), byref(flag)))
            win32.check(win32.GetSecurityDescriptorDacl(descriptor, byref(flag), byref(entries), byref(flag)))
            win32.check_status(win32.SetSecurityInfo(key, win32.SE_REGISTRY_KEY, what, owner, None, entries, None))


def sid_of_this_process() -> str:
    """The account that this process runs as. Raises OSError."""
    token = HANDLE()
    win32.check(win32.OpenProcessToken(win32.GetCurrentProcess(), win32.TOKEN_QUERY, byref(token)))
    try:
        size = DWORD()
        win32.GetTokenInformation(token, win32.TOKEN_USER, None, 0, byref(size))
        user = ctypes.create_string_buffer(size.value)
        win32.check(win32.GetTokenInformation(token, win32.TOKEN_USER, user, size, byref(size)))
        return _sid_text(c_void_p.from_buffer(user))  # TOKEN_USER begins with a pointer to the SID
    finally:
        win32.CloseHandle(token)


def sid_of(account: str) -> str:
    """The SID of an account's name, or the SID itself. Raises ConfigurationError when there is no such account."""
    if re.fullmatch(r"S-1(-\d+)+", account):
        return account
    sid, domain = ctypes.create_string_buffer(68), ctypes.create_unicode_buffer(256)  # SECURITY_MAX_SID_SIZE
    sizes = DWORD(len(sid)), DWORD(len(domain)), DWORD()
    if not win32.LookupAccountName(None, account, sid, byref(sizes[0]), domain, byref(sizes[1]), byref(sizes[2])):
        raise ConfigurationError(
            f"there is no account {account}",
            hint=r"write account=DOMAIN\name, account=NT SERVICE\keysvc, or account=S-1-5-…",
        )
    return _sid_text(ctypes.cast(sid, c_void_p))


def _name_of(sid: str) -> str:
    name, domain = ctypes.create_unicode_buffer(256), ctypes.create_unicode_buffer(256)
    sizes, binary = (DWORD(256), DWORD(256), DWORD()), c_void_p()
    if not win32.ConvertStringSidToSid(sid, byref(binary)):
        return sid
    try:
        found = win32.LookupAccountSid(None, binary, name, byref(sizes[0]), domain, byref(sizes[1]), byref(sizes[2]))
    finally:
        win32.LocalFree(binary)
    return f"{domain.value}\\{name.value}".strip("\\") if found else sid


def _trustees(descriptor: str) -> set[str]:
    """The owner, who may always change the list, and all whom an entry lets in."""
    owner = re.match(r"O:([A-Z]{2}(?=[GDS]:|$)|S[-\d]+)", descriptor)
    return {sid for _, sid in _ENTRY.findall(descriptor)} | ({owner[1]} if owner else set())


def _descriptor_of(key: int) -> str:
    size = DWORD()
    win32.RegGetKeySecurity(key, _SHOWN, None, byref(size))
    descriptor = ctypes.create_string_buffer(size.value)
    win32.check_status(win32.RegGetKeySecurity(key, _SHOWN, descriptor, byref(size)))
    return _text(ctypes.cast(descriptor, c_void_p))


def _text(descriptor: c_void_p) -> str:
    text = LPWSTR()
    win32.check(
        win32.ConvertSecurityDescriptorToStringSecurityDescriptor(
            descriptor, win32.SDDL_REVISION_1, _SHOWN, byref(text), None
        )
    )
    return _taken(text)


@contextlib.contextmanager
def _binary(text: str) -> abc.Iterator[c_void_p]:
    descriptor = c_void_p()
    win32.check(
        win32.ConvertStringSecurityDescriptorToSecurityDescriptor(text, win32.SDDL_REVISION_1, byref(descriptor), None)
    )
    try:
        yield descriptor
    finally:
        win32.LocalFree(descriptor)


def _sid_text(sid: c_void_p) -> str:
    text = LPWSTR()
    win32.check(win32.ConvertSidToStringSid(sid, byref(text)))
    return _taken(text)


def _taken(text: LPWSTR) -> str:
    """A string that Windows allocated, given back."""
    try:
        return text.value or ""
    finally:
        win32.LocalFree(ctypes.cast(text, c_void_p))
