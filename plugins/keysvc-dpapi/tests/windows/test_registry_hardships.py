"""What becomes of the registry key store when the registry, its access lists or the process fail it."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import winreg
from ctypes import c_void_p
from ctypes.wintypes import DWORD, LONG

import pytest
from keysvc_dpapi import access, registry, win32
from keysvc_dpapi.dpapi import DpapiSealer, Scope
from keysvc_dpapi.registry import RegistryKey, RegistryShelf

from keysvc.plugin import (
    ConfigurationError,
    InvalidInput,
    KeyStoreUnavailable,
    SealBroken,
    SealedKeyStore,
    VersionNotFound,
)
from keysvc.plugin.loading import Plugins
from keysvc.testing.key_store import secret

RegSetKeySecurity = win32._function(win32._advapi32, "RegSetKeySecurity", LONG, c_void_p, DWORD, c_void_p)
WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
ENTRY = "version-0000000001"
EVERYONE_READS = "D:P(A;;KA;;;SY)(A;;KA;;;BA)(A;;KR;;;WD)"


def open_store(key: RegistryKey, system_id: str = "5" * 32) -> SealedKeyStore:
    return SealedKeyStore(DpapiSealer("registry://x", Scope.MACHINE), RegistryShelf(key), system_id)


def set_access(key: RegistryKey, descriptor: str) -> None:
    with opened(key, win32.WRITE_DAC) as handle:
        set_access_of(handle.handle, descriptor)


def set_access_of(handle: int, descriptor: str) -> None:
    with access._binary(descriptor) as binary:
        win32.check_status(RegSetKeySecurity(handle, win32.DACL_SECURITY_INFORMATION, binary))


def opened(key: RegistryKey, wanted: int) -> winreg.HKEYType:
    return winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key.path, 0, wanted | winreg.KEY_WOW64_64KEY)


# -- access lists --------------------------------------------------------------------------------------------------


def test_a_new_key_lets_in_system_and_administrators_only(key: RegistryKey) -> None:
    open_store(key).seal(secret(1))
    with opened(key, winreg.KEY_READ) as handle:
        found = access._descriptor_of(handle.handle)
    assert found.startswith("O:BA")
    assert access._trustees(found) == {"SY", "BA"}
    assert "D:P" in found or WINE  # Wine does not keep that nothing is inherited


def test_a_new_key_lets_in_the_service_account_that_the_url_names(key: RegistryKey) -> None:
    shelf = RegistryShelf(RegistryKey(key.hive, key.path, account="S-1-5-19"))
    shelf["version-1"] = b"sealed"
    assert shelf["version-1"] == b"sealed"
    with pytest.raises(KeyStoreUnavailable, match="LOCAL SERVICE"):
        RegistryShelf(key)["version-1"]


@pytest.mark.parametrize(
    ("descriptor", "who"),
    [
        (EVERYONE_READS, "Everyone"),
        ("D:P(A;;KA;;;SY)(A;;KA;;;BA)(A;CI;KA;;;AU)", "Authenticated Users"),
        ("D:P(A;;KA;;;SY)(A;;KA;;;BA)(A;;KW;;;S-1-5-21-1-2-3-4)", "S-1-5-21-1-2-3-4"),
    ],
)
def test_a_key_that_lets_in_others_is_not_used_until_it_is_repaired(
    key: RegistryKey, descriptor: str, who: str
) -> None:
    store = open_store(key)
    store.seal(secret(1))
    set_access(key, descriptor)
    for use in (lambda: store.unseal(1), lambda: store.seal(secret(2))):
        with pytest.raises(KeyStoreUnavailable, match=who) as refused:
            use()
        assert "keysvc registry protect" in refused.value.hint
    assert RegistryShelf(key).strangers() != []
    RegistryShelf(key).protect()
    assert RegistryShelf(key).strangers() == []
    assert store.unseal(1) == secret(1)


def test_a_key_without_any_access_list_is_not_used(key: RegistryKey) -> None:
    store = open_store(key)
    store.seal(secret(1))
    with opened(key, win32.WRITE_DAC) as handle:
        what = win32.DACL_SECURITY_INFORMATION
        win32.check_status(win32.SetSecurityInfo(handle.handle, win32.SE_REGISTRY_KEY, what, None, None, None, None))
    with pytest.raises(KeyStoreUnavailable, match="everyone"):
        store.unseal(1)
    RegistryShelf(key).protect()
    assert store.unseal(1) == secret(1)


def test_an_entry_that_denies_is_no_stranger(key: RegistryKey) -> None:
    open_store(key).seal(secret(1))
    set_access(key, "D:P(D;;KA;;;S-1-5-21-1-2-3-4)(A;;KA;;;SY)(A;;KA;;;BA)")
    assert open_store(key).unseal(1) == secret(1)


def test_a_key_that_was_there_before_is_not_written_to_while_others_may_open_it(key: RegistryKey) -> None:
    winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, key.path, 0, winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY).Close()
    with pytest.raises(KeyStoreUnavailable, match="can be opened by"):
        open_store(key).seal(secret(1))
    RegistryShelf(key).protect()
    open_store(key).seal(secret(1))


def test_a_key_that_holds_something_else_is_never_given_another_access_list(key: RegistryKey, values) -> None:
    winreg.CreateKeyEx(winreg.HKEY_LOCAL_MACHINE, key.path, 0, winreg.KEY_ALL_ACCESS | winreg.KEY_WOW64_64KEY).Close()
    values.put("InstallPath", winreg.REG_SZ, "C:\\Program Files")
    with pytest.raises(ConfigurationError, match="more than a key store"):
        RegistryShelf(key).protect()
    with pytest.raises(ConfigurationError, match="more than a key store"):
        RegistryShelf(RegistryKey("HKLM", "SOFTWARE\\Microsoft")).protect()


def test_where_access_is_denied_every_call_says_so(key: RegistryKey) -> None:
    store = open_store(key)
    store.seal(secret(1))
    calls = store.versions, lambda: store.unseal(1), lambda: store.seal(secret(2)), lambda: store.destroy(1)
    with opened(key, win32.WRITE_DAC) as way_back:
        set_access(key, "D:P(A;;KA;;;SY)")
        try:
            for call in calls:
                with pytest.raises(KeyStoreUnavailable, match="denied") as refused:
                    call()
                assert "service account" in refused.value.hint
        finally:
            set_access_of(way_back.handle, "D:P(A;;KA;;;SY)(A;;KA;;;BA)")
    assert store.unseal(1) == secret(1)


def test_an_account_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no account"):
        access.sid_of("nobody of that name")


# -- what is stored ------------------------------------------------------------------------------------------------


def test_a_key_that_does_not_exist_is_an_empty_key_store(key: RegistryKey) -> None:
    store = open_store(key)
    assert list(store.versions()) == []
    store.destroy(1)
    with pytest.raises(VersionNotFound):
        store.unseal(1)


def test_a_key_that_is_deleted_while_serving_is_noticed_and_made_anew(key: RegistryKey) -> None:
    store = open_store(key)
    store.seal(secret(1))
    winreg.DeleteKeyEx(winreg.HKEY_LOCAL_MACHINE, key.path, winreg.KEY_WOW64_64KEY)
    with pytest.raises(VersionNotFound) as refused:
        store.unseal(1)
    assert "restore" in refused.value.hint
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)
    assert RegistryShelf(key).strangers() == []


def test_a_version_of_another_system_does_not_open(key: RegistryKey) -> None:
    open_store(key).seal(secret(1))
    with pytest.raises(SealBroken, match="another system"):
        open_store(key, system_id="6" * 32).unseal(1)


@pytest.mark.parametrize(
    ("kind", "content"),
    [(winreg.REG_SZ, "text"), (winreg.REG_DWORD, 7), (winreg.REG_NONE, b""), (winreg.REG_BINARY, b"")],
)
def test_a_value_of_the_wrong_type_does_not_open(key: RegistryKey, values, kind: int, content: object) -> None:
    store = open_store(key)
    store.seal(secret(1))
    values.put(ENTRY, kind, content)
    with pytest.raises(SealBroken, match=ENTRY):
        store.unseal(1)


def test_the_right_bytes_under_the_wrong_type_do_not_open(key: RegistryKey, values) -> None:
    store = open_store(key)
    store.seal(secret(1))
    values.put(ENTRY, winreg.REG_NONE, values[ENTRY])
    with pytest.raises(SealBroken):
        store.unseal(1)


def test_a_value_that_is_too_large_for_the_registry_is_refused_before_anything_is_written(key: RegistryKey) -> None:
    shelf = RegistryShelf(key)
    with pytest.raises(InvalidInput, match="more than a registry value should have"):
        shelf["version-1"] = bytes(registry.MAXIMUM_BYTES + 1)
    assert list(shelf) == []
    shelf["version-1"] = bytes(registry.MAXIMUM_BYTES)
    assert len(shelf["version-1"]) == registry.MAXIMUM_BYTES


# -- crashes -------------------------------------------------------------------------------------------------------

DYING = """
import os, sys
from keysvc_dpapi import registry

left, writes = {line}, {{"__setitem__", "_write", "_delete", "__delitem__"}}

def trace(frame, what, _argument):
    global left
    if frame.f_code.co_filename != registry.__file__ or frame.f_code.co_name not in writes:
        return None
    if what == "line":
        left -= 1
        if left == 0:
            os._exit(9)
    return trace

shelf = registry.RegistryShelf(registry.RegistryKey("HKLM", {path!r}))
sys.settrace(trace)
{action}
"""


ERROR_INTERNAL_ERROR = 1359
"""Wine's answer, now and then, to who starts a process on a busy machine: nothing ran."""
ATTEMPTS = 5


def dies(key: RegistryKey, line: int, action: str) -> bool:
    """Run `action` in a process that ends itself, without another instruction, at its n-th line of writing."""
    code = DYING.format(line=line, path=key.path, action=action)
    for attempt in range(ATTEMPTS):
        try:
            child = subprocess.run(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, capture_output=True, timeout=60, check=False
            )
        except OSError as error:
            if error.winerror != ERROR_INTERNAL_ERROR or attempt == ATTEMPTS - 1:
                raise
        else:
            assert child.returncode in (0, 9), child.stderr
            return child.returncode == 9
    raise AssertionError("the last attempt returns or raises")


def test_death_at_any_line_of_a_write_leaves_the_old_or_the_new(key: RegistryKey) -> None:
    shelf, line, found = RegistryShelf(key), 1, set()
    shelf["version-1"] = b"old"
    while dies(key, line, "shelf['version-1'] = b'new'"):
        assert list(shelf) == ["version-1"]
        found.add(shelf["version-1"])
        shelf["version-1"] = b"old"
        line += 1
    assert shelf["version-1"] == b"new"
    assert found == {b"old", b"new"}
    assert line > 8


def test_death_at_any_line_of_a_removal_leaves_the_old_or_nothing(key: RegistryKey) -> None:
    shelf, line = RegistryShelf(key), 1
    shelf["version-1"] = b"old"
    while dies(key, line, "del shelf['version-1']"):
        assert shelf.get("version-1") in (b"old", None)
        shelf["version-1"] = b"old"
        line += 1
    assert list(shelf) == []
    assert line > 3


@pytest.mark.parametrize(("torn", "found"), [("draft-version-1", b"old"), ("version-1", b"new")])
def test_a_power_cut_in_either_step_leaves_the_old_or_the_new(
    key: RegistryKey, monkeypatch: pytest.MonkeyPatch, torn: str, found: bytes
) -> None:
    shelf = RegistryShelf(key)
    shelf["version-1"] = b"old"
    write = winreg.SetValueEx

    def half(handle: int, name: str, reserved: int, kind: int, content: bytes) -> None:
        write(handle, name, reserved, kind, content[: len(content) // 2] if name == torn else content)
        if name == torn:
            raise OSError("the power is cut")

    monkeypatch.setattr(winreg, "SetValueEx", half)
    with pytest.raises(KeyStoreUnavailable):
        shelf["version-1"] = b"new"
    assert RegistryShelf(key)["version-1"] == found


def test_what_does_not_read_back_as_it_was_written_is_not_stored(
    key: RegistryKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(winreg, "SetValueEx", lambda *_: None)
    with pytest.raises(KeyStoreUnavailable, match="read back"):
        RegistryShelf(key)["version-1"] = b"new"
    assert list(RegistryShelf(key)) == []


def test_a_torn_draft_does_not_count(key: RegistryKey, values) -> None:
    shelf = RegistryShelf(key)
    shelf["version-1"] = b"old"
    whole = values["version-1"]
    for torn in (b"", whole[:10], whole[:-1], bytes(len(whole))):
        values["draft-version-1"] = torn
        values["draft-version-2"] = torn
        assert shelf["version-1"] == b"old"
        assert list(shelf) == ["version-1"]
        assert "version-2" not in shelf


def test_a_draft_that_is_whole_counts_where_the_value_is_torn_or_missing(key: RegistryKey, values) -> None:
    shelf = RegistryShelf(key)
    shelf["version-1"] = b"new"
    values["draft-version-1"] = values["version-1"]
    values["version-1"] = b"torn"
    assert shelf["version-1"] == b"new"
    del values["version-1"]
    assert shelf["version-1"] == b"new"
    assert list(shelf) == ["version-1"]
    del shelf["version-1"]
    assert list(shelf) == list(values) == []


def test_a_value_that_is_torn_without_a_draft_does_not_open(key: RegistryKey, values) -> None:
    shelf = RegistryShelf(key)
    shelf["version-1"] = b"new"
    values["version-1"] = values["version-1"][:-1]
    with pytest.raises(SealBroken, match="torn"):
        shelf["version-1"]


# -- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "registry:",
        "registry://",
        "registry://HKLM",
        "registry://HKLM/SOFTWARE",
        "registry://HKLM/SOFTWARE//keysvc",
        "registry://HKCR/SOFTWARE/keysvc",
        "registry:HKLM/SOFTWARE/keysvc",
        "registry://HKLM/SOFTWARE\\keysvc/x",
        "registry://HKLM/SOFTWARE/keysvc?scope=everybody",
        "registry://HKLM/SOFTWARE/keysvc?scope=",
        "registry://HKLM/SOFTWARE/keysvc?speed=fast",
    ],
)
def test_a_url_that_names_no_key_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        Plugins().key_stores.open(url, lambda _what: None, "5" * 32)


def test_a_url_opens_the_key_that_it_names(key: RegistryKey, values) -> None:
    url = f"registry://hklm/{key.path.replace(chr(92), '/')}"
    store = Plugins().key_stores.open(url, lambda _what: None, "5" * 32)
    store.seal(secret(1))
    assert list(values) == [ENTRY]
    assert store.info().url == url
    assert "machine scope" in store.info().root


def test_a_user_keeps_a_key_store_in_the_users_own_hive() -> None:
    path = "Software\\keysvc-test"
    store = Plugins().key_stores.open("registry://HKCU/Software/keysvc-test?scope=user", lambda _what: None, "5" * 32)
    try:
        store.seal(secret(1))
        assert store.unseal(1) == secret(1)
        assert RegistryShelf(RegistryKey("HKCU", path)).strangers() == []
    finally:
        winreg.DeleteKeyEx(winreg.HKEY_CURRENT_USER, path, winreg.KEY_WOW64_64KEY)


def test_versions_move_from_the_registry_to_a_file_and_back(key: RegistryKey, tmp_path) -> None:
    registered = open_store(key)
    filed = Plugins().key_stores.open((tmp_path / "secret").as_uri(), lambda _what: None, "5" * 32)
    for version in (1, 2):
        registered.seal(secret(version))
        filed.seal(registered.unseal(version))
        registered.destroy(version)
        registered.seal(filed.unseal(version))
    assert [registered.unseal(version) for version in registered.versions()] == [secret(1), secret(2)]


def test_what_was_lent_to_windows_is_wiped() -> None:
    from keysvc_dpapi.dpapi import _lent

    with _lent(b"secret") as blob:
        assert ctypes.string_at(blob.pbData, 6) == b"secret"
    assert ctypes.string_at(blob.pbData, 6) == bytes(6)
