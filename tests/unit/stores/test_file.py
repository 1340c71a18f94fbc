"""The file key store, and what goes wrong with files: each is one error that names the file, never a new secret."""

from __future__ import annotations

import functools
import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from keysvc.errors import ConfigurationError, InvalidInput, KeyStoreUnavailable, SealBroken
from keysvc.model import SecretText
from keysvc.plugin.loading import Plugins
from keysvc.testing.key_store import secret


def never(what: str) -> SecretText:
    raise AssertionError(what)


def open_store(url: str, prompt=never):
    return Plugins().key_stores.open(url, prompt, "5" * 32)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/secret"


def test_files_are_private_and_the_key_file_is_beside_the_directory(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "secret.key", tmp_path / "secret/version-0000000001"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["secret", "secret.key", "version-0000000001"]


@pytest.mark.parametrize("damage", ["", "keysvc-root-key-1", "flip", "garbage \xff", "one more line\n"])
def test_a_damaged_key_file_is_an_error_that_names_it(url: str, tmp_path: Path, damage: str) -> None:
    open_store(url).seal(secret(1))
    key_file = tmp_path / "secret.key"
    whole = key_file.read_bytes()
    flipped = whole[:30] + bytes([whole[30] ^ 1]) + whole[31:]
    key_file.write_bytes({"flip": flipped, "one more line\n": whole + b"x\n"}.get(damage, damage.encode("latin-1")))
    for act in (lambda: open_store(url).unseal(1), lambda: open_store(url).seal(secret(2))):
        with pytest.raises(SealBroken, match=r"secret\.key is torn or was changed"):
            act()
    key_file.write_bytes(whole)
    assert open_store(url).unseal(1) == secret(1)


def test_a_key_file_that_vanished_is_never_replaced_by_a_new_one(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    (tmp_path / "secret.key").unlink()
    for act in (lambda: open_store(url).unseal(1), lambda: open_store(url).seal(secret(2))):
        with pytest.raises(KeyStoreUnavailable, match=r"secret\.key is missing"):
            act()
    assert not (tmp_path / "secret.key").exists()


def test_a_key_file_of_another_system_does_not_open_it(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    open_store(f"file://{tmp_path}/other").seal(secret(1))
    os.replace(tmp_path / "other.key", tmp_path / "secret.key")
    with pytest.raises(SealBroken, match="version-0000000001"):
        open_store(url).unseal(1)


def test_a_key_file_that_others_can_read_is_refused_with_the_command_that_mends_it(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    (tmp_path / "secret.key").chmod(0o644)
    with pytest.raises(KeyStoreUnavailable) as refused:
        open_store(url).unseal(1)
    assert refused.value.hint == f"chmod 600 {tmp_path}/secret.key"


def test_two_processes_that_begin_at_once_end_with_one_key(tmp_path: Path) -> None:
    for round_ in range(20):
        url = f"file://{tmp_path}/{round_}"
        stores = [open_store(url), open_store(url)]
        threads = [threading.Thread(target=s.seal, args=(secret(n),)) for n, s in enumerate(stores, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sealed = open_store(url).versions()
        assert sealed
        assert [open_store(url).unseal(version) for version in sealed] == [secret(version) for version in sealed]


def test_a_passphrase_is_asked_for_once_and_a_wrong_one_says_so(url: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def right(what: str) -> SecretText:
        asked.append(what)
        return SecretText("right horse battery")

    store = open_store(url + "?unlock=passphrase", right)
    store.seal(secret(1))
    assert store.unseal(1) == secret(1)
    assert asked == ["passphrase"]
    assert not (tmp_path / "secret.key").exists()
    with pytest.raises(SealBroken, match="wrong passphrase"):
        open_store(url + "?unlock=passphrase", lambda _: SecretText("wrong")).unseal(1)


def test_absurd_argon2_parameters_are_refused_before_they_exhaust_the_machine(url: str, tmp_path: Path) -> None:
    open_store(url + "?unlock=passphrase", lambda _: SecretText("right horse battery")).seal(secret(1))
    entry = tmp_path / "secret/version-0000000001"
    header, _, sealed = entry.read_bytes().partition(b"\n")
    entry.write_bytes(header + b"\n" + sealed[:21] + b"\xff\xff\xff\xff" + sealed[25:])
    with pytest.raises(SealBroken, match="out of bounds"):
        open_store(url + "?unlock=passphrase", lambda _: SecretText("right horse battery")).unseal(1)


def test_a_short_passphrase_seals_nothing_new_and_opens_what_it_sealed(url: str, monkeypatch: Any) -> None:
    short = functools.partial(open_store, url + "?unlock=passphrase", lambda _: SecretText("x"))
    with pytest.raises(InvalidInput, match="needs at least 12 characters"):
        short().seal(secret(1))
    assert short().versions() == []
    with monkeypatch.context() as as_in_the_first_release:
        as_in_the_first_release.setattr("keysvc.plugin.sealed.MINIMUM_PASSPHRASE", 1)
        short().seal(secret(1))
    assert short().unseal(1) == secret(1)
    short().seal(secret(2))
    assert short().unseal(2) == secret(2)


@pytest.mark.parametrize("bad", ["file:relative", "file:///", "file:///x?unlock=magic", "file:///x?colour=red",
                                 "file:///x?key-file=relative", "file:///x?unlock=passphrase&key-file=/y"])  # fmt: skip
def test_a_url_that_makes_no_sense_is_refused(bad: str) -> None:
    with pytest.raises(ConfigurationError):
        open_store(bad)


def test_a_path_below_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyStoreUnavailable, match="Not a directory"):
        open_store(f"file://{tmp_path}/file/secret").seal(secret(1))


def test_a_full_disk_leaves_what_was_there(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    child = os.fork()
    if child == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        try:
            open_store(url).seal(secret(2))
        except KeyStoreUnavailable as error:
            os._exit(7 if "version-0000000002" in str(error) else 1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert list(open_store(url).versions()) == [1]
    assert open_store(url).unseal(1) == secret(1)
    assert [path.name for path in (tmp_path / "secret").iterdir()] == ["version-0000000001"]


def test_what_else_lies_in_the_directory_is_no_version(url: str, tmp_path: Path) -> None:
    open_store(url).seal(secret(1))
    for name in (
        "version-",
        "version-1",
        "version-0000000001.bak",
        "version-00000000010",
        "version-٠٠٠٠٠٠٠٠٠٢",
        "notes",
    ):
        (tmp_path / "secret" / name).write_bytes(b"")
    assert open_store(url).versions() == [1]


@pytest.mark.parametrize("version", [0, -1, 2**32, 10**30])
def test_a_version_that_no_format_has_room_for_is_invalid_input(version: int) -> None:
    with pytest.raises(InvalidInput, match=r"a version from 1 to 2\^32 - 1"):
        secret(version)
