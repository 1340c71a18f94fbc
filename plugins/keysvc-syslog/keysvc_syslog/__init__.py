"""The notifiers `syslog:` (UNIX socket), `syslog+udp:`, `syslog+tcp:`, `syslog+tls:`: events as RFC 5424 messages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keysvc.plugin import ConfigurationError, Notifier, Opening, Register, hookimpl

if TYPE_CHECKING:
    from keysvc.plugin import Location
    from keysvc_syslog.transports import Transport

KEYSVC_API = 2
LOCAL_SOCKET = "/dev/log"
PORTS = {"syslog+udp": 514, "syslog+tcp": 601, "syslog+tls": 6514}
"""RFC 5426, RFC 3195's port as IANA has it for syslog over TCP, RFC 5425."""

FACILITY = {"facility": "auth, authpriv (the default), daemon, user, audit, or local0 to local7"}
STREAM = {
    "framing": "octets (the default): its length is before each message; newline: a newline is behind it",
    "receipt": "close (the default): delivered when the receiver has closed the connection; none: when it was sent",
}
TLS = {
    "ca-file": "PEM file of the certificate authorities to trust instead of the system's",
    "client-certificate": "PEM file of the certificate to show to the receiver",
    "client-key": "PEM file of its key; in the file of the certificate unless given",
    "passphrase-source": "file:/PATH or env:NAME, where the passphrase of that key is, if it has one",
}


@hookimpl
def keysvc_notifiers(register: Register[Notifier]) -> None:
    """Register `syslog:` and its relatives."""
    register("syslog", open_local, summary="RFC 5424 to a UNIX socket", options=FACILITY)
    register("syslog+udp", open_remote, summary="RFC 5424 over UDP, which may lose it", options=FACILITY)
    register(
        "syslog+tcp", open_remote, summary="RFC 5424 over TCP, readable on the way", options={**FACILITY, **STREAM}
    )
    register("syslog+tls", open_remote, summary="RFC 5424 over TLS", options={**FACILITY, **STREAM, **TLS})


def open_local(opening: Opening) -> Notifier:
    """Connects to nothing yet. Raises ConfigurationError."""
    from keysvc_syslog.notifier import SyslogNotifier
    from keysvc_syslog.transports import UnixSocket

    path = Path(opening.location.path or LOCAL_SOCKET)
    if urlsplit(opening.location.reveal()).netloc or not path.is_absolute():
        raise ConfigurationError(
            "syslog: takes the absolute path of a UNIX socket, or nothing",
            hint=f"write syslog: for {LOCAL_SOCKET}; syslog+udp://HOST and syslog+tls://HOST go elsewhere",
        )
    return SyslogNotifier(UnixSocket(path), facility=_facility(opening.location), system_id=opening.system_id)


def open_remote(opening: Opening) -> Notifier:
    """Connects to nothing yet. Raises ConfigurationError, and what the prompt raises when a key has a passphrase."""
    from keysvc_syslog.notifier import SyslogNotifier
    from keysvc_syslog.transports import UDP, Stream

    location = opening.location
    url = urlsplit(location.reveal())
    try:
        host, port = (url.hostname or "").encode("idna").decode(), url.port or PORTS[location.scheme]
    except (KeyError, ValueError):
        raise ConfigurationError("syslog+…: needs a host name, and a port between 1 and 65535 if any") from None
    if not host or "@" in url.netloc or url.fragment or location.path not in {"", "/"}:
        raise ConfigurationError(
            f"{location.scheme}: needs a host, and neither a user, a path nor a fragment",
            hint=f"write {location.scheme}://HOST:{PORTS[location.scheme]}",
        )
    transport: Transport
    match location.scheme:
        case "syslog+udp":
            transport = UDP(host, port)
        case "syslog+tcp":
            transport = Stream(host, port, None, **_stream(location))
        case _:
            transport = _tls(opening, host, port)
    return SyslogNotifier(transport, facility=_facility(location), system_id=opening.system_id)


def _tls(opening: Opening, host: str, port: int) -> Transport:
    from keysvc_syslog.transports import Stream, trust

    options = opening.location.options
    return Stream(
        host,
        port,
        trust(
            ca_file=options.get("ca-file"),
            certificate=options.get("client-certificate"),
            key=options.get("client-key"),
            passphrase=lambda: opening.prompt("passphrase").reveal(),
        ),
        **_stream(opening.location),
    )


def _stream(location: Location) -> dict[str, bool]:
    framing, receipt = location.options.get("framing", "octets"), location.options.get("receipt", "close")
    if framing not in {"octets", "newline"}:
        raise ConfigurationError(
            "framing is octets or newline", hint="write framing=newline for what the receiver reads"
        )
    if receipt not in {"close", "none"}:
        raise ConfigurationError("receipt is close or none", hint="write receipt=none for a receiver that never closes")
    return {"newline": framing == "newline", "receipt": receipt == "close"}


def _facility(location: Location) -> int:
    from keysvc_syslog.message import FACILITIES

    name = location.options.get("facility", "authpriv")
    if name not in FACILITIES:
        raise ConfigurationError(f"facility is one of {', '.join(FACILITIES)}")
    return FACILITIES[name]
