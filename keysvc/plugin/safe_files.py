"""Files, directories and sockets that grant something: the one way in which they are created, and the one check of
those that exist.

What grants something is a secret (a key, a passphrase), or is trusted (a configuration, a certificate authority, a
socket). It belongs to the account that runs or to root, and so does every directory above it; no other account may
write there. A sticky directory, such as /tmp, is as good as one that nobody else may write, and so is a group that its
owner is alone in. Windows keeps access lists, not modes: there the checks pass.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what imports this module needs no network
    import socket


class Unsafe(PermissionError):
    """A file or directory that another account controls or may read. `problem` and `hint` are for an error."""

    def __init__(self, path: Path, problem: str, hint: str) -> None:
        self.problem = f"{path} {problem}"
        super().__init__(errno.EPERM, f"{self.problem}: {hint}", str(path))
        self.hint = hint


def write_durably(path: Path, content: bytes, *, mode: int = 0o600, anywhere: bool = False) -> None:
    """Write a file so that after a crash it is whole or as it was. Raises OSError; leaves no temporary file then.

    `anywhere`: the content grants nothing by itself, as of a backup, so the directory is not checked.
    """
    if not anywhere:
        check_directory(path.parent)
    _put_in_place(path, content, mode, None)


def replace_durably(path: Path, content: bytes) -> None:
    """Replace a file as `write_durably` does. Its owner, group and mode stay, whatever the umask. Raises OSError."""
    check_directory(path.parent)
    _put_in_place(path, content, 0o600, path.stat())


def create_durably(path: Path, content: bytes, *, anywhere: bool = False) -> None:
    """As `write_durably`, with mode 0600; raises FileExistsError when there is anything at `path`."""
    if not anywhere:
        check_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, content, 0o600)
        _rename_to_new(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    fsync_directory(path.parent)


def prove_writable(directory: Path) -> None:
    """Create a directory as `create_directory` does, and a file in it; both are removed again. Raises OSError."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    create_directory(directory)
    probe = directory / f".{secrets.token_hex(8)}.tmp"
    _write_new(probe, b"", 0o600)
    probe.unlink()
    for path in missing:
        path.rmdir()


def create_directory(path: Path) -> None:
    """Create a directory for this account alone (0700), and what is missing above it. One that exists is checked.

    Raises OSError.
    """
    if not path.parent.exists():
        create_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    check_directory(path)


def bind(listening: socket.socket, path: Path) -> None:
    """Create a socket that every account may connect to: who may do what there is decided by who calls.

    It has its mode when it appears: nothing at `path` is changed that somebody put there. Raises OSError.
    """
    check_directory(path.parent)
    before = os.umask(0o111)
    try:
        listening.bind(str(path))
    finally:
        os.umask(before)


def check_directory(path: Path, *, root_reads: bool = False) -> None:
    """Check a directory, all above it, and the links on the way. `root_reads` is for what is read, and not created:
    root looks after the services of other accounts, so then the account that owns it is as good as root for root.

    Raises Unsafe; OSError when there is none.
    """
    if sys.platform != "win32":
        _check_way(path, _trusted(path.stat() if root_reads else None))


def check_file(path: Path, *, secret: bool, root_reads: bool = False) -> None:
    """Check a file that grants something; of a `secret` one also who may read it. A pipe is as safe as who writes it.
    `root_reads` as of `check_directory`.

    Raises Unsafe; OSError when there is none.
    """
    if sys.platform != "win32":
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return
        trusted = _trusted(found if root_reads else None)
        _check_way(path.parent, trusted)
        _check_way(path.resolve().parent, trusted)
        _check_owner(path, found, trusted)
        _check_writers(path, found)
        readers = 0o037 if found.st_uid == 0 else 0o077  # root's own may be given to the group of a service
        if secret and found.st_mode & readers:
            raise Unsafe(path, f"can be read by others (mode {found.st_mode & 0o777:04o})", f"chmod 600 {path}")


def fsync_directory(path: Path) -> None:
    """Make renames and removals in `path` durable, where the platform can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(path: Path, content: bytes, mode: int, like: os.stat_result | None) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, content, mode, like)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_directory(path.parent)


def _write_new(path: Path, content: bytes, mode: int, like: os.stat_result | None = None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        if like is not None and sys.platform != "win32":
            made = os.fstat(file.fileno())
            if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid):
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Where the file system has no hard links, as on a USB stick, a name that is taken is noticed a moment before."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(temporary, path)


if sys.platform != "win32":

    def _trusted(found: os.stat_result | None) -> frozenset[int]:
        """In a user namespace root may be unmapped: whoever owns / is as trusted as root."""
        always = {0, os.geteuid(), Path("/").stat().st_uid}
        return frozenset(always | {found.st_uid} if found is not None and os.geteuid() == 0 else always)

    def _check_way(path: Path, trusted: frozenset[int]) -> None:
        for part in (path.absolute(), *path.absolute().parents):
            link = part.lstat()
            if stat.S_ISLNK(link.st_mode):
                _check_owner(part, link, trusted)
        whole = path.resolve(strict=True)
        for part in (whole, *whole.parents):
            found = part.stat()
            _check_owner(part, found, trusted)
            if not found.st_mode & stat.S_ISVTX:
                _check_writers(part, found)

    def _check_owner(path: Path, found: os.stat_result, trusted: frozenset[int]) -> None:
        if found.st_uid not in trusted:
            owner = _account_name(found.st_uid)
            raise Unsafe(path, f"belongs to {owner}", f"run this as {owner}, or change the owner: chown")

    def _check_writers(path: Path, found: os.stat_result) -> None:
        if found.st_mode & 0o002 or (found.st_mode & 0o020 and not _is_alone_in_group(found)):
            raise Unsafe(path, f"can be written by others (mode {found.st_mode & 0o777:04o})", f"chmod go-w {path}")

    def _account_name(number: int) -> str:
        import pwd

        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            return f"user {number}"

    def _is_alone_in_group(found: os.stat_result) -> bool:
        """Many systems give each account a group of its own name, and let it write by default."""
        import grp
        import pwd

        try:
            account, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
        except KeyError:
            return False
        own = account.pw_gid == found.st_gid and group.gr_name == account.pw_name
        return own and not set(group.gr_mem) - {account.pw_name}
