"""A UNIX socket on which the kernel says who calls (SO_PEERCRED): no certificate, no secret, this machine only."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections import abc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keysvc.errors import AccessDenied, ConfigurationError
from keysvc.model import Role
from keysvc.plugin.safe_files import Unsafe, bind, check_directory
from keysvc.web.asgi.exchange import Caller, Connected

_CREDENTIALS = struct.Struct("3i")  # struct ucred of Linux: process, user, group


@dataclass(frozen=True, slots=True)
class LocalCallers:
    """Which accounts of this machine may call: the one that the agent runs as, and those of `allowed`, which are login
    names, numbers of users, and groups as `@NAME`. A caller is named as Windows names local accounts: machine,
    backslash, login name; or the number of a user that has none, as in a container."""

    machine: str
    allowed: tuple[str, ...] = ()

    def admit(self, connected: socket.socket) -> Caller:
        """Raises AccessDenied."""
        credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, user, _ = _CREDENTIALS.unpack(credentials)
        account = _account(user)
        if account is None and _is_login_name(str(user)):
            raise AccessDenied(f"user {user} has no account, and another account is called {user}")
        name = str(user) if account is None else account.pw_name
        itself = _is_this_process(user)  # it could read this SSO server's key, and its memory
        if not itself and not self._lets_in(user, account):
            raise AccessDenied(
                f"the account {name} may not use this agent",
                hint="name it, its number, or @GROUP, in agent_callers, and start the agent again",
            )
        return Caller(f"{self.machine}\\{name}", Role.SERVER if itself else Role.APPLICATION)

    def knows(self, connected: Connected) -> bool:
        """Whether it comes from an account that may call."""
        try:
            return connected.local_socket is not None and bool(self.admit(connected.local_socket).name)
        except AccessDenied:
            return False

    def _lets_in(self, user: int, account: Any) -> bool:
        if str(user) in self.allowed and not _is_login_name(str(user)):
            return True
        if account is None:
            return False
        if account.pw_name in self.allowed:
            return True
        groups = {name.removeprefix("@") for name in self.allowed if name.startswith("@")}
        return bool(groups.intersection(_group_names(os.getgrouplist(account.pw_name, account.pw_gid))))


def _is_this_process(user: int) -> bool:
    return user == os.geteuid()


def _account(user: int) -> Any:
    """The entry of the user in the system's list of accounts, or None."""
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user)
    return None


def _is_login_name(name: str) -> bool:
    import pwd

    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(name))
    return False


def _group_names(numbers: abc.Iterable[int]) -> abc.Iterator[str]:
    import grp

    for number in numbers:
        with contextlib.suppress(KeyError):
            yield grp.getgrgid(number).gr_name


def listen_at(path: Path) -> socket.socket:
    """A listening socket at `path`, which any account may connect to: who may call is decided by `LocalCallers`. One
    that nobody listens on any more is replaced. Raises ConfigurationError."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise ConfigurationError("this operating system does not say who calls on a UNIX socket", hint="use the port")
    listening = socket.socket(socket.AF_UNIX)
    try:
        check_directory(path.parent)
        _remove_abandoned(path)
        bind(listening, path)
        listening.listen(1024)
    except Unsafe as unsafe:
        listening.close()
        raise ConfigurationError(f"no socket is created at {path}: {unsafe.problem}", hint=unsafe.hint) from None
    except OSError as error:
        listening.close()
        raise ConfigurationError(f"cannot listen at {path}: {error.strerror or error}") from None
    return listening


def check_listener(connected: socket.socket, path: str, account: str | None) -> None:
    """Check who listens, before anything is sent. Raises AccessDenied unless that is root, this process's account, or
    `account`."""
    import pwd

    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    trusted = {0, os.geteuid()}
    with contextlib.suppress(KeyError):
        if account is not None:
            trusted.add(pwd.getpwnam(account).pw_uid)
    if user not in trusted:
        try:
            name = pwd.getpwuid(user).pw_name
        except KeyError:
            name = f"user {user}"
        raise AccessDenied(
            f"{name} listens at {path}, which is not the account of the agent",
            hint="if it is, name it: AgentClient.on_socket(PATH, ACCOUNT)",
        )


def _remove_abandoned(path: Path) -> None:
    """A link is left alone, and so is what it names: binding then fails."""
    if not os.path.lexists(path) or not stat.S_ISSOCK(path.lstat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as trying:
        try:
            trying.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
