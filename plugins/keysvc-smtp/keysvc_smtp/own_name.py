"""What this machine greets a mail server with (RFC 5321, 4.1.4): a domain name that is whole, or an address."""

from __future__ import annotations

import ipaddress
import re
import socket

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
NOT_OURS = ("localhost", "localhost.localdomain", "localhost6.localdomain6")


def is_greeting(text: str) -> bool:
    """Whether this may stand behind EHLO: a domain name or an address literal."""
    if text.startswith("[") and text.endswith("]"):
        kind, _, address = text[1:-1].rpartition("IPv6:")
        try:
            return ipaddress.ip_address(address).version == (6 if "IPv6:" in text else 4) and not kind
        except ValueError:
            return False
    return len(text) <= 253 and re.fullmatch(rf"{LABEL}(\.{LABEL})*", text) is not None


def own_name(connection: socket.socket) -> str:
    """Return this machine's full name, or the address that the connection comes from where it has only a short one:
    many servers refuse `EHLO web-01`."""
    for name in (socket.gethostname(), socket.getfqdn()):
        if "." in name and name.casefold() not in NOT_OURS and is_greeting(name):
            return name
    address = ipaddress.ip_address(connection.getsockname()[0].partition("%")[0])
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
