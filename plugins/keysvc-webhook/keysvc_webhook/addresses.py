"""Where a name leads, and whether that is a public place."""

from __future__ import annotations

import ipaddress
import socket
from collections import abc

NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> tuple[str, ...]:
    """The addresses of `host`, in the order to try them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def public(addresses: abc.Iterable[str]) -> tuple[str, ...]:
    """Those that are in no private, shared, loopback, link-local, multicast or reserved network."""
    return tuple(address for address in addresses if is_public(address))


def is_public(address: str) -> bool:
    """Whether the address, and the IPv4 address that it may carry inside, is global unicast."""
    outer = ipaddress.ip_address(address)
    return all(one.is_global and not one.is_multicast for one in (outer, *_carried(outer)))


def _carried(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> abc.Iterator[ipaddress.IPv4Address]:
    """A gateway may turn these into IPv4 and so lead into a private network."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            yield address.ipv4_mapped
        if address.sixtofour:
            yield address.sixtofour
        if address in NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
