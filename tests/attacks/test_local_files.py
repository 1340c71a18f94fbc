"""Attacks by another account of the same machine: through the agent's socket, and through files and directories."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import socket
import subprocess
import sys
from collections import abc
from pathlib import Path
from typing import Any

import pytest
from sites import Site
from systems import Keysvc, eventually

from keysvc.errors import AccessDenied, ConfigurationError, KeysvcError
from keysvc.plugin import safe_files
from keysvc.web.agent.client import AgentClient
from keysvc.web.agent.local_socket import listen_at
from keysvc.web.tls.identity_files import IdentityFiles

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="accounts and modes of Linux")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")
NOBODY = 65534


@pytest.fixture
def victim(tmp_path: Path) -> abc.Iterator[Path]:
    """A file that only this account may read, whatever happens."""
    path = tmp_path / "victim"
    path.write_text("secret")
    path.chmod(0o600)
    yield path
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == "secret"


# -- the agent's socket --------------------------------------------------------------------------------------------


def test_a_link_that_appears_while_the_socket_is_made_opens_no_other_file(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.sock"
    real = socket.socket.bind

    def bind_and_lose(bound: socket.socket, address: Any) -> None:
        real(bound, address)
        path.unlink()
        path.symlink_to(victim)

    with monkeypatch.context() as window:
        window.setattr(socket.socket, "bind", bind_and_lose)
        listen_at(path).close()


def test_a_link_where_the_socket_is_to_be_is_not_followed(tmp_path: Path, victim: Path) -> None:
    path = tmp_path / "agent.sock"
    for target in (victim, tmp_path / "nothing"):
        path.symlink_to(target)
        with pytest.raises(ConfigurationError, match="cannot listen at"):
            listen_at(path)
        path.unlink()
    assert not (tmp_path / "nothing").exists()


def test_the_socket_is_for_every_account_from_the_moment_it_appears(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        listen_at(tmp_path / "agent.sock").close()
        assert (tmp_path / "agent.sock").lstat().st_mode & 0o777 == 0o666
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)


@pytest.mark.parametrize("above", [False, True])
def test_no_socket_and_no_file_is_made_where_others_may_write(tmp_path: Path, above: bool) -> None:
    place = tmp_path / "open" / "inside" if above else tmp_path / "open"
    place.mkdir(parents=True)
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="open can be written by others"):
        listen_at(place / "agent.sock")
    with pytest.raises(safe_files.Unsafe, match="open can be written by others"):
        safe_files.write_durably(place / "key", b"secret")
    assert list(place.iterdir()) == []
    (tmp_path / "open").chmod(0o1777)
    listen_at(place / "agent.sock").close()
    safe_files.write_durably(place / "key", b"secret")


@needs_root
def test_no_socket_and_no_file_is_made_in_a_directory_of_another_account(tmp_path: Path, victim: Path) -> None:
    foreign, link = tmp_path / "foreign", tmp_path / "link"
    foreign.mkdir(mode=0o755)
    os.chown(foreign, NOBODY, NOBODY)
    link.symlink_to(tmp_path)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    for place in (foreign, link):
        with pytest.raises(ConfigurationError, match=f"{place.name} belongs to {pwd.getpwuid(NOBODY).pw_name}"):
            listen_at(place / "agent.sock")
        with pytest.raises(safe_files.Unsafe):
            safe_files.create_durably(place / "key", b"secret")


@needs_root
def test_a_caller_sends_nothing_to_a_socket_on_which_another_account_listens(tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    public.chmod(0o1777)
    for above in tmp_path.parents[:-2]:
        above.chmod(above.stat().st_mode | 0o011)
    tmp_path.chmod(0o711)
    path = public / "agent.sock"
    program = (
        f"import os, socket; os.setuid({NOBODY}); s = socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); "
        f"s.listen(); os.chmod({str(path)!r}, 0o666)\n"
        "while True: print(len(s.accept()[0].recv(9)), flush=True)"
    )
    listener = subprocess.Popen([sys.executable, "-P", "-c", program], stdout=subprocess.PIPE)
    try:
        eventually(lambda: path.exists() and path.lstat().st_mode & 0o777 == 0o666)
        assert listener.stdout is not None
        with pytest.raises(AccessDenied, match=f"{pwd.getpwuid(NOBODY).pw_name} listens at {path}"):
            AgentClient.on_socket(str(path)).credential("SAP", user="anna")
        assert listener.stdout.readline() == b"0\n"
        with pytest.raises(KeysvcError) as unanswered:
            AgentClient.on_socket(str(path), pwd.getpwuid(NOBODY).pw_name).credential("SAP", user="anna")
        assert not isinstance(unanswered.value, AccessDenied)
        assert listener.stdout.readline() == b"9\n"
    finally:
        listener.kill()
        listener.communicate()


# -- files and directories -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mode", "owner"), [(0o777, 0), pytest.param(0o755, NOBODY, marks=needs_root)])
def test_init_makes_nothing_in_a_directory_that_another_account_controls(
    tmp_path: Path, keysvc: Keysvc, mode: int, owner: int
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(mode)
    if owner:
        os.chown(place, owner, owner)
    for directory in (place, place / "new"):
        refused = keysvc("init", "--dir", directory, "--no-backup")
        assert refused.status == 1
        assert f"{place} {'belongs to' if owner else 'can be written by others'}" in refused.err
        assert refused.err.rstrip().endswith("or change the owner: chown" if owner else f"chmod go-w {place}")
        assert [entry for entry in place.rglob("*") if entry.is_file()] == []


def test_services_and_commands_refuse_files_that_others_read_or_write_and_doctor_names_them(
    tmp_path: Path, keysvc: Keysvc
) -> None:
    site = Site(tmp_path, keysvc)
    site.init("--no-backup")
    directory = site.machine.directory
    assert "no other account can write" in site("doctor", ok=None).out
    for name, mode, message in [
        ("authority/key.pem", 0o644, "authority/key.pem can be read by others (mode 0644); chmod 600"),
        ("master-identity/key.pem", 0o604, "master-identity/key.pem can be read by others"),
        ("identity/authority.pem", 0o666, "identity/authority.pem can be written by others (mode 0666); chmod go-w"),
        ("keysvc.toml", 0o666, "keysvc.toml can be written by others"),
        ("authority", 0o777, "authority can be written by others"),
    ]:
        path = directory / name
        before = path.stat().st_mode
        path.chmod(mode)
        assert message in site("serve", ok=False).err
        examined = site("doctor", ok=None)
        assert examined.status == 1
        assert message.partition(";")[0] in examined.out + examined.err
        path.chmod(before)
    (directory / "identity/key.pem").chmod(0o604)
    assert "identity/key.pem can be read by others" in site("server", "list", ok=False).err


def given_to(account: int, directory: Path) -> None:
    """Everything below becomes this account's."""
    for path in (directory, *directory.rglob("*")):
        os.chown(path, account, account)


@needs_root
def test_root_runs_commands_on_the_files_of_a_service_but_neither_serves_nor_writes_there(
    tmp_path: Path, keysvc: Keysvc
) -> None:
    site = Site(tmp_path, keysvc)
    site.init("--no-backup")
    directory = site.machine.directory
    given_to(NOBODY, directory)
    site("app", "list")
    assert "no other account can write" in site("doctor", ok=None).out
    owner = pwd.getpwuid(NOBODY).pw_name
    refused = site("serve", ok=False).err
    assert f"belongs to {owner}; run this as {owner}" in refused
    (directory / "identity/lock").symlink_to(tmp_path / "made")
    with (
        pytest.raises(ConfigurationError, match=f"belongs to {owner}"),
        IdentityFiles(directory / "identity").alone(),
    ):
        pass
    assert not (tmp_path / "made").exists()
    os.chown(directory / "identity/key.pem", NOBODY - 1, NOBODY - 1)
    assert "belongs to" in site("app", "list", ok=False).err


@needs_root
@pytest.mark.parametrize(
    ("owner", "mode", "safe"),
    [(0, 0o640, True), (0, 0o604, False), (NOBODY, 0o600, True), (NOBODY, 0o640, False), (NOBODY, 0o644, False)],
)
def test_a_key_of_root_may_be_given_to_a_group_and_that_of_a_service_to_none(
    tmp_path: Path, owner: int, mode: int, safe: bool
) -> None:
    key = tmp_path / "key"
    key.write_text("secret")
    os.chown(key, owner, NOBODY)
    key.chmod(mode)
    with contextlib.nullcontext() if safe else pytest.raises(safe_files.Unsafe, match="can be read by others"):
        safe_files.check_file(key, secret=True, root_reads=True)


@needs_root
def test_root_trusts_no_two_accounts_on_the_way_to_one_file(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "key").write_text("secret")
    os.chown(place / "key", NOBODY, NOBODY)
    safe_files.check_file(place / "key", secret=False, root_reads=True)
    os.chown(place, NOBODY - 1, NOBODY - 1)
    with pytest.raises(safe_files.Unsafe, match="place belongs to"):
        safe_files.check_file(place / "key", secret=False, root_reads=True)
    with pytest.raises(safe_files.Unsafe):
        safe_files.check_file(place / "key", secret=False)


@pytest.mark.parametrize(
    "command", [["credential", "import", "-"], ["join", "https://h:1", "--token-file", "-", "--dir"]]
)
def test_every_command_leaves_no_core_file(tmp_path: Path, command: abc.Sequence[str]) -> None:
    given = [*command, str(tmp_path / "new")] if command[-1] == "--dir" else command
    waiting = subprocess.Popen(
        [sys.executable, "-P", "-m", "keysvc", *given], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    limits = Path(f"/proc/{waiting.pid}/limits")
    try:
        eventually(lambda: re.search(r"Max core file size +0 +0 ", limits.read_text("ascii")) is not None)
        assert waiting.poll() is None
    finally:
        waiting.kill()
        waiting.communicate()
