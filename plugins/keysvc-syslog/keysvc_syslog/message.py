"""An event as a syslog message of RFC 5424: whole in the structured data, and a line for people."""

from __future__ import annotations

import codecs
import re
from datetime import UTC

from keysvc.plugin import Event, Severity

FACILITIES = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "audit": 13,
    **{f"local{number}": 16 + number for number in range(8)},
}
SEVERITIES = {Severity.ERROR: 3, Severity.WARNING: 4, Severity.NOTICE: 5, Severity.INFORMATIONAL: 6}

APPLICATION = "keysvc"
STRUCTURED_DATA_ID = "keysvc@32473"
"""32473 is the enterprise number of RFC 5612, which nobody owns: keysvc has none of its own."""
TITLE_CHARACTERS = 200
TRUNCATED = ' truncated="yes"'


def message(event: Event, system_id: str, *, facility: int, hostname: str, process_id: int, limit: int) -> bytes:
    """One message of at most `limit` octets. Members of the event's detail that do not fit are left out, and
    `truncated="yes"` says so; what is not printable is escaped as in Python."""
    severity = SEVERITIES[event.severity]
    header = (
        f"<{facility * 8 + severity}>1 {event.at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ} {_name(hostname, 255)}"
        f" {APPLICATION} {process_id} {_name(event.kind, 32)}"
    )
    known = {"event": event.event_id, "kind": event.kind, "system": system_id}
    element = f"[{STRUCTURED_DATA_ID}" + "".join(_parameter(*each) for each in known.items())
    text = _text(event)
    room = limit - len(f"{header} {element}{TRUNCATED}] ".encode()) - len(text)
    truncated = ""
    for each in event.detail.items():
        parameter = _parameter(*each)
        if len(parameter.encode()) <= room:
            element += parameter
            room -= len(parameter.encode())
        else:
            truncated = TRUNCATED
    return f"{header} {element}{truncated}] ".encode() + text


def _text(event: Event) -> bytes:
    """For people. With the byte order mark that RFC 5424 asks for when it is UTF-8 and not just ASCII."""
    subject = event.detail.get("subject", "")
    title = _printable(f"{event.kind}: {subject}" if subject != "" else event.kind)[:TITLE_CHARACTERS]
    return title.encode() if title.isascii() else codecs.BOM_UTF8 + title.encode()


def _parameter(name: str, value: str | int | bool) -> str:
    escaped = re.sub(r'(["\\\]])', r"\\\1", _printable(value))
    return f' {_name(name, 32)}="{escaped}"'


def _name(text: str, length: int) -> str:
    """Printable ASCII without what separates: as SD-NAME, and stricter than HOSTNAME and MSGID need."""
    return re.sub(r'[^!-~]|[="\]]', "_", text)[:length] or "-"


def _printable(value: str | int | bool) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))
