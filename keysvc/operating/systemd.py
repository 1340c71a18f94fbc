"""What systemd is told: readiness, status, the watchdog (sd_notify(3)). Without systemd, nothing happens."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import abc

ADDRESS = "NOTIFY_SOCKET"


class Supervisor:
    """Who started this service and wants to hear of it. Any thread may call any method; none waits or raises."""

    def __init__(self) -> None:
        """Take the address out of the environment, so that no child process speaks for this one."""
        self._address = os.environ.pop(ADDRESS, "")
        self._status = ""

    @property
    def is_there(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def ready(self) -> None:
        """The service is up, or has reloaded."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`. It is sent when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """The configuration is read again, until `ready`."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
            sending.setblocking(False)
            sending.sendto(text.encode(), name)


FIRST_DESCRIPTOR = 3


def passed_sockets() -> abc.Mapping[str, socket.socket]:
    """Return the listening sockets that systemd hands over (sd_listen_fds(3)), by their FileDescriptorName=. They are
    taken out of the environment: no child process gets them."""
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    count, process = os.environ.pop("LISTEN_FDS", "0"), os.environ.pop("LISTEN_PID", "")
    if process != str(os.getpid()):
        return {}
    found = {}
    for name, descriptor in zip(names, range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)), strict=True):
        os.set_inheritable(descriptor, False)
        found[name] = socket.socket(fileno=descriptor)
    return found
